"""Read the results of a study, and write them as files: for Python, and for `rewindnet table`."""

import io
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.report.flat import csv_text
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.studies.formats import writer_of
from rewindnet.experiments.studies.pivot import Pivot, column_named, pivot, text_of
from rewindnet.experiments.studies.study_folder import StudyFolder, read_study
from rewindnet.experiments.studies.tidy import Row, curve_rows, tidy_rows, unfinished_in
from rewindnet.extras import missing_extras_named


class StudyResults:
    """The results of the finished runs of a study, as one tidy table.

    Args:
        study: the study.

    Attributes:
        name: the name of the scenario.
        folder: the folder of the study.
        keys: the keys that vary among the runs.
        unfinished: the names of the runs that are not finished.

    Raises:
        UserError: if no run is finished, or a run folder is damaged.
    """

    def __init__(self, study: StudyFolder) -> None:
        self.name, self.folder, self.keys = study.name, study.path, list(study.keys)
        self.unfinished, self._study = unfinished_in(study), study
        self._rows = tidy_rows(study)
        if not self._rows:
            raise FolderError(f"no run of the study in {study.path} is finished; give its sweep again")

    def rows(self) -> list[Row]:
        """Return the tidy table: a mapping for each run, request, method and view."""
        return [dict(row) for row in self._rows]

    def to_pandas(self) -> Any:
        """Return the tidy table as a pandas DataFrame.

        Raises:
            UserError: if pandas is not installed; the message says how to install it.
        """
        with missing_extras_named():
            import pandas as pd
        return pd.DataFrame(self._rows)

    def table(
        self,
        rows: Sequence[str] = (),
        columns: Sequence[str] = ("release",),
        value: str = "epsilon_certified",
        where: Sequence[str] = (),
    ) -> Pivot:
        """Arrange one value in rows and columns, with its spread over seeds.

        Args:
            rows: the columns of the tidy table that name a row; by default the keys that vary, but for the seed.
            columns: those that name a column.
            value: the column of the value.
            where: conditions on rows of the tidy table, each `column=value,value`.

        Raises:
            UserError: if there is no such column, or no row meets the conditions.
        """
        kept = self._rows
        for condition in where:
            kept = _chosen(kept, condition)
        down = rows or [key for key in self.keys if key != "seed"] or ["topology"]
        return pivot(kept, self.keys, down, columns, value)

    def curves(self) -> list[Row]:
        """Return the learning curves: a mapping for each run, phase and round in which the network was looked at."""
        return curve_rows(self._study)

    @property
    def finished(self) -> list[Path]:
        """The folders of the finished runs, in the order of the study."""
        return [run.folder for run in self._study.runs if run.folder.name not in self.unfinished]

    @property
    def topology_of_runs(self) -> dict[str, str]:
        """The topology of each finished run, by the name of the run."""
        return {str(row["run"]): str(row["topology"]) for row in self._rows}

    def write(self) -> list[Path]:
        """Write `results.csv` and `curves.csv` into the folder of the study.

        Where pandas and pyarrow are installed, `results.parquet` and `curves.parquet`, too.

        Returns:
            The files.
        """
        written = []
        for name, rows in (("results", self._rows), ("curves", self.curves())):
            contents = {".csv": csv_text(rows), ".parquet": parquet(rows)}
            for ending, content in contents.items():
                if content is not None:
                    write(self.folder / f"{name}{ending}", content)
                    written.append(self.folder / f"{name}{ending}")
        return written


def load_study(path: str | PathLike[str]) -> StudyResults:
    """Read the results of a study from its folder, without torch.

    Args:
        path: the folder that `rewindnet sweep` has written.

    Raises:
        UserError: if it is not the folder of a study, or no run of it is finished.

    Examples:
        >>> import rewindnet
        >>> short = {"learning": {"rounds": 10}, "unlearning": ["r2d"], "measures": {"membership": False}}
        >>> study = rewindnet.sweep(short, {"topology.kind": ["ring", "star"]})
        >>> results = rewindnet.load_study(study.folder)
        >>> len(results.rows()), results.keys
        (6, ['topology.kind'])
    """
    return StudyResults(read_study(Path(path)))


def parquet(rows: Sequence[Row]) -> bytes | None:
    """Return rows as a parquet file; None where pandas or pyarrow is not installed."""
    try:
        import pandas as pd
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        return None
    frame = pd.DataFrame(rows)
    for name in frame.columns:
        # Parquet stores one type in a column; names of clients may be numbers in one run and text in another.
        if len({type(value) for value in frame[name] if value is not None}) > 1 and frame[name].dtype == object:
            frame[name] = [None if value is None else str(value) for value in frame[name]]
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def write_table(table: Pivot, out: Sequence[Path]) -> None:
    """Write a pivoted table into files; the ending of each says in which format.

    Raises:
        UserError: if a file has another ending, or cannot be written.
    """
    writers = [writer_of(path) for path in out]
    for path in out:
        check_writable(path)
    for path, form in zip(out, writers, strict=True):
        write(path, form(table))


def _chosen(rows: Sequence[Row], condition: str) -> list[Row]:
    """Return the rows of the tidy table that meet a condition.

    Raises:
        ScenarioError: if none does, or the condition cannot be read.
    """
    name, equals, text = condition.partition("=")
    if not equals:
        raise ScenarioError(f"--where takes column=value, like method=r2d; not {condition!r}")
    column, wanted = column_named(name, rows), text.split(",")
    kept = [row for row in rows if text_of(row[column]) in wanted or str(row[column]) in wanted]
    if not kept:
        there = ", ".join(dict.fromkeys(text_of(row[column]) for row in rows))
        raise ScenarioError(f"no row has {column} {text}; there are: {there}")
    return kept
