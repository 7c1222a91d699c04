"""Results of runs, sweeps and verification for Python: tables, arrays and findings."""

import shutil
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from numpy.typing import NDArray

from rewindnet.certificates import Certificate
from rewindnet.certificates.findings import Finding
from rewindnet.experiments.folder.errors import MissingArrayError
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.notebooks import Record, Report, at_point, data_frame, html_table, summary_html
from rewindnet.experiments.report.columns import Column
from rewindnet.experiments.report.flat import flat
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.extras import missing_extras_named


class Result:
    """A finished run.

    Args:
        folder: the run folder.
        temporary: the temporary folder that contains it, if any; it exists as long as the result.

    Attributes:
        folder: the run folder.

    Raises:
        UserError: if the folder holds no finished run.

    Examples:
        >>> import rewindnet
        >>> short = {"learning": {"rounds": 10}, "unlearning": ["r2d"], "measures": {"membership": False}}
        >>> result = rewindnet.run(short)
        >>> result.weights("methods/0-r2d/released").shape
        (10, 650)
    """

    def __init__(self, folder: str | PathLike[str], *, temporary: "TemporaryFolder | None" = None) -> None:
        self.folder = Path(folder)
        self._run: RunFolder = read_folder(self.folder)
        self._temporary = temporary

    @property
    def record(self) -> Record:
        """The content of `record.json`: versions, seed, timings, and the sha256 of all weights."""
        return self._run.record

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario of the run, with all defaults filled in."""
        return resolve(self._run.scenario)

    @property
    def certificates(self) -> list[Certificate]:
        """The certificate of each release: one for each method, and for each request if there are several."""
        return [certificate for certificate, _ in self._run.certified]

    @property
    def holds(self) -> bool:
        """Whether no audit has found its certificate violated."""
        return all(audit.holds for _, audit in self._run.certified)

    @property
    def violations(self) -> list[str]:
        """A sentence for each certificate that its audit found violated."""
        return self._run.violations

    def rows(self) -> list[Record]:
        """Return a mapping for each release, with every number of the table under a name of its own."""
        return [flat(row) for row in self._run.summary]

    def table(self) -> Any:
        """Return `rows` as a pandas DataFrame, or as a list if pandas is not installed."""
        return data_frame(self.rows())

    def weights(self, name: str | None = None) -> Any:
        """Read stored weights.

        Args:
            name: the name of an array, like `methods/0-r2d/released` or `checkpoints/learned-000100`.

        Returns:
            The array, [N, d]. Without a name, a mapping of all arrays by name, each of which is read on access.

        Raises:
            UserError: if the run has stored no weights of that name.
        """
        arrays = _Weights(self._run)
        return arrays if name is None else arrays[name]

    def report(self) -> Report:
        """Write `report.html` into the run folder: one self-contained page about the run.

        Raises:
            UserError: if matplotlib or jinja2 is missing; the message says how to install it.
        """
        with missing_extras_named():
            from rewindnet.experiments.report.page import write_report

        return Report(write_report(self.folder))

    def __repr__(self) -> str:
        state = "holds" if self.holds else "VIOLATED"
        return f"Result({str(self.folder)!r}: {len(self._run.summary)} releases, {state})"

    def _repr_html_(self) -> str:
        """Return the table that the command line prints, for notebooks."""
        return summary_html(self._run.summary, ())


class Study:
    """The runs of a sweep.

    Args:
        points: for each run, the values of the keys that vary.
        results: the result of each run.
        folder: the folder that contains the run folders.
        temporary: the temporary folder that contains them, if any; it exists as long as the study.

    Attributes:
        points: for each run, the values of the keys that vary.
        results: the result of each run.
        folder: the folder that contains the run folders.
    """

    def __init__(
        self,
        points: Sequence[Record],
        results: Sequence[Result],
        folder: Path,
        *,
        temporary: "TemporaryFolder | None" = None,
    ) -> None:
        self.points, self.results, self.folder = list(points), list(results), folder
        self._temporary = temporary

    @property
    def holds(self) -> bool:
        """Whether no audit of any run has found its certificate violated."""
        return all(result.holds for result in self.results)

    @property
    def violations(self) -> list[str]:
        """A sentence for each certificate that its audit found violated."""
        return [sentence for result in self.results for sentence in result.violations]

    def rows(self) -> list[Record]:
        """Return a mapping for each release of each run, with the values of the keys that vary first."""
        return [
            {**point, **row} for point, result in zip(self.points, self.results, strict=True) for row in result.rows()
        ]

    def table(self) -> Any:
        """Return `rows` as a pandas DataFrame, or as a list if pandas is not installed."""
        return data_frame(self.rows())

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r}: {len(self)} runs, {'holds' if self.holds else 'VIOLATED'})"

    def _repr_html_(self) -> str:
        """Return one table of all runs, for notebooks."""
        keys = list(self.points[0])
        rows = [
            {**row, "point": point}
            for point, result in zip(self.points, self.results, strict=True)
            for row in result._run.summary
        ]
        return summary_html(rows, [(key, at_point(key)) for key in keys])


class Verification(list[Finding]):
    """The findings of a verification, each with what was checked, whether it holds, and a sentence."""

    @property
    def holds(self) -> bool:
        """Whether nothing wrong was found; `unchecked` says what could not be checked."""
        return all(finding.holds for finding in self)

    @property
    def unchecked(self) -> list[Finding]:
        """What could not be checked."""
        return [finding for finding in self if finding.status == "unchecked"]

    def _repr_html_(self) -> str:
        """Return the findings as a table, for notebooks."""
        columns: list[Column] = [
            ("", lambda row: str(row["status"])),
            ("what", lambda row: str(row["what"])),
            ("finding", lambda row: str(row["sentence"])),
        ]
        return html_table(columns, [vars(finding) for finding in self])


class TemporaryFolder:
    """A temporary folder that is removed when this object is no longer referenced.

    Attributes:
        path: the path of the folder.
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="rewindnet-"))
        weakref.finalize(self, shutil.rmtree, self.path, True)


class _Weights(Mapping[str, NDArray[Any]]):
    """The stored arrays of a run by name, each of which is read on access."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read one array.

        Raises:
            MissingArrayError: if the run has stored no array of that name.
        """
        array = self._run.weights(name) if name in self._run.record["weights_sha256"] else None
        if array is None:
            known = ", ".join(self) or "none; run it with record.weights=true, and noise_source seed"
            raise MissingArrayError(f"{self._run.path} keeps no weights {name!r}; it keeps: {known}")
        return array

    def __iter__(self) -> Iterator[str]:
        names = self._run.record["weights_sha256"]
        return (name for name in names if (self._run.path / f"{name}.safetensors").is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)
