"""What runs, sweeps, plans and verification give to Python: tables, arrays, and how notebooks show them."""

import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from math import isnan
from os import PathLike
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Certificate, violation
from rewindnet.experiments.folder.reader import FolderError, RunFolder, read_folder
from rewindnet.experiments.plan.plan import Answer, Plan
from rewindnet.experiments.plan.words import promise, verdicts
from rewindnet.experiments.report import table
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.records import Finding
from rewindnet.extras import missing_extras_named

Record = dict[str, Any]


class Result:
    """A finished run.

    Args:
        folder: of the run.
        temporary: the temporary folder that it is in, if it is in one; it lives as long as the result.

    Attributes:
        folder: of the run.

    Raises:
        UserError: if there is no finished run in the folder.

    Example:
        >>> import rewindnet
        >>> result = rewindnet.run({"learning": {"rounds": 10}, "unlearning": ["r2d"]})
        >>> result.weights("methods/0-r2d/released").shape
        (10, 650)
    """

    def __init__(self, folder: str | PathLike[str], *, temporary: "TemporaryFolder | None" = None) -> None:
        self.folder = Path(folder)
        self._run: RunFolder = read_folder(self.folder)
        self._temporary = temporary

    @property
    def record(self) -> Record:
        """What `record.json` says: versions, seed, timings, and the sha256 of all weights."""
        return self._run.record

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario that was run, in full."""
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
        return [violation(certificate, audit) for certificate, audit in self._run.certified if not audit.holds]

    def rows(self) -> list[Record]:
        """Return a mapping for each release, with every number of the table under a name of its own."""
        return [flat(row) for row in self._run.summary]

    def table(self) -> Any:
        """Return `rows` as a pandas DataFrame; as they are where pandas is not installed."""
        return data_frame(self.rows())

    def weights(self, name: str | None = None) -> Any:
        """Read weights that the run has kept.

        Args:
            name: of one array, like `methods/0-r2d/released` or `checkpoints/learned-000100`.

        Returns:
            That array, [N, d]. Without a name a mapping of all arrays by name, each read when it is asked for.

        Raises:
            UserError: if the run has kept no weights of that name.
        """
        kept = _Weights(self._run)
        return kept if name is None else kept[name]

    def report(self) -> "Report":
        """Write `report.html` into the run folder: one self-contained page about the run.

        Raises:
            UserError: if a library for drawing is missing; the message says how to install it.
        """
        with missing_extras_named():
            from rewindnet.experiments.report.page import write_report

        return Report(write_report(self.folder))

    def __repr__(self) -> str:
        state = "holds" if self.holds else "VIOLATED"
        return f"Result({str(self.folder)!r}: {len(self._run.summary)} releases, {state})"

    def _repr_html_(self) -> str:
        """Return the table that the command line prints, for notebooks."""
        return _table_html(self._run.summary, ())


class Study:
    """The runs of a sweep.

    Args:
        points: for each run, the values of the keys that vary.
        results: of each run.
        folder: of the run folders.
        temporary: the temporary folder that they are in, if they are in one; it lives as long as the study.

    Attributes:
        points: for each run, the values of the keys that vary.
        results: of each run.
        folder: of the run folders.
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
        """Return `rows` as a pandas DataFrame; as they are where pandas is not installed."""
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
        return _table_html(rows, [(key, _at_point(key)) for key in keys])


class PlanResult:
    """What forgetting would take, client by client.

    Args:
        plan: that was made.

    Attributes:
        plan: that was made, with every price in arrays.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def hardest(self) -> int | None:
        """The client that takes the most noise by the first r2d row; None if no client gets a number."""
        order = self.plan.answers[0].order
        return int(self.plan.selection.clients[order[-1]]) if len(order) else None

    @property
    def sentences(self) -> list[str]:
        """Which client is hardest to forget and why, which were planned, and what the figures are based on."""
        return [*verdicts(self.plan), self.plan.selection.sentence, promise(self.plan), *self.plan.notes]

    def rows(self) -> list[Record]:
        """Return a mapping for each r2d row of the scenario and each client that was planned."""
        clients = range(len(self.plan.selection.clients))
        return [self._row(answer, at) for answer in self.plan.answers for at in clients]

    def _row(self, answer: Answer, at: int) -> Record:
        plan, row = self.plan, answer.row
        client, depth = int(plan.selection.clients[at]), _number(answer.depth[at])
        cost = {} if depth is None else plan.cost[int(depth)]
        names = plan.network.names
        facts = {name: values[at].item() for name, values in vars(plan.facts).items()}
        return {
            "row": row.index,
            "client": client,
            **({"name": names[client]} if client in names else {}),
            "asks": at == 0,
            "view": row.view,
            "placement": row.placement,
            "allocation": row.allocation,
            "rounds": None if depth is None else int(depth),
            "epsilon": _number(answer.epsilon[at]),
            "delta": row.delta,
            "sigma": _number(answer.sigma[at]),
            "gradients": cost.get("gradients"),
            "bytes": cost.get("bytes"),
            **facts,
        }

    def table(self) -> Any:
        """Return `rows` as a pandas DataFrame; as they are where pandas is not installed."""
        return data_frame(self.rows())

    def __repr__(self) -> str:
        return f"PlanResult({len(self.plan.selection.clients)} clients, hardest: {self.hardest})"

    def _repr_html_(self) -> str:
        """Return the table and the sentences, for notebooks."""
        rows = self.rows()
        columns = [(name, _shown(name)) for name in rows[0]]
        return html_table(columns, rows) + "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences)


class Verification(list[Finding]):
    """What a verification has checked: findings, each with what was checked, whether it holds, and a sentence."""

    @property
    def holds(self) -> bool:
        """Whether every finding holds."""
        return all(finding.holds for finding in self)

    def _repr_html_(self) -> str:
        """Return the findings as a table, for notebooks."""
        columns: list[table.Column] = [
            ("", lambda row: "holds" if row["holds"] else "FAILS"),
            ("what", lambda row: str(row["what"])),
            ("finding", lambda row: str(row["sentence"])),
        ]
        return html_table(columns, [vars(finding) for finding in self])


class Report(PathLike[str]):
    """A report that has been written: as text its path, in a notebook the page itself.

    Args:
        path: of the page.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Report({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, so that its style does not touch the notebook's."""
        page = escape(self.path.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" width="100%" height="720" style="border: 0"></iframe>'


class TemporaryFolder:
    """A folder that is removed with everything in it once nothing refers to this object any more.

    Attributes:
        path: of the folder.
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="rewindnet-"))
        weakref.finalize(self, shutil.rmtree, self.path, True)


class _Weights(Mapping[str, NDArray[Any]]):
    """The arrays that a run has kept, by name; each is read when it is asked for."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read one array.

        Raises:
            FolderError: if the run has kept none of that name.
        """
        array = self._run.weights(name) if name in self._run.record["weights_sha256"] else None
        if array is None:
            known = ", ".join(self) or "none; run it with record.weights=true, and noise_source seed"
            raise FolderError(f"{self._run.path} keeps no weights {name!r}; it keeps: {known}")
        return array

    def __iter__(self) -> Iterator[str]:
        names = self._run.record["weights_sha256"]
        return (name for name in names if (self._run.path / f"{name}.safetensors").is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def flat(row: Mapping[str, Any], prefix: str = "") -> Record:
    """Give every number inside of nested mappings a name of its own, like `accuracy_test_mean`."""
    content: Record = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            content |= flat(value, f"{prefix}{key}_")
        else:
            content[f"{prefix}{key}"] = value
    return content


def data_frame(rows: list[Record]) -> Any:
    """Return rows as a pandas DataFrame; as they are where pandas is not installed."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return rows
    return pd.DataFrame(rows)


def html_table(columns: Sequence[table.Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table as HTML."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading, _ in columns)
    lines = [[f"<td>{escape(content(row))}</td>" for _, content in columns] for row in rows]
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table_html(rows: Sequence[table.Row], first: Sequence[table.Column]) -> str:
    """Return the table that the command line prints, and its legend, as HTML."""
    legend = "".join(f"<p><small>{escape(line)}</small></p>" for line in table.legend(rows))
    return html_table([*first, *table.columns_of(rows)], rows) + legend


def _at_point(key: str) -> Callable[[table.Row], str]:
    return lambda row: str(row["point"][key])


def _shown(name: str) -> Callable[[Mapping[str, Any]], str]:
    def show(row: Mapping[str, Any]) -> str:
        value = row.get(name)
        return "—" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    return show


def _number(value: float | np.floating[Any]) -> float | None:
    return None if isnan(value) else float(value)
