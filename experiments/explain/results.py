"""The evidence about a graph network for Python: tables, records and the page."""

from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.experiments.explain import tables
from rewindnet.experiments.explain.load import resolve_graph_scenario
from rewindnet.experiments.explain.record import EVIDENCE
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.explain.words import notes
from rewindnet.experiments.folder.files import read_json
from rewindnet.experiments.notebooks import Record, Report, data_frame
from rewindnet.experiments.results import TemporaryFolder


class GraphEvidence:
    """What the verifiers found about every method, with every seed; nothing of it is certified.

    Args:
        folder: the folder of the evidence.
        temporary: the temporary folder that contains it, if any; it exists as long as this object.

    Attributes:
        folder: the folder of the evidence.
        record: the content of `evidence.json`.

    Raises:
        UserError: if the folder holds no evidence.
    """

    def __init__(self, folder: str | PathLike[str], *, temporary: TemporaryFolder | None = None) -> None:
        self.folder = Path(folder)
        self.record: Record = read_json(self.folder / EVIDENCE)
        self._temporary = temporary

    @property
    def scenario(self) -> GraphScenario:
        """The scenario, with all defaults filled in."""
        return resolve_graph_scenario(self.record["scenario"])

    @property
    def notes(self) -> list[str]:
        """Sentences that the numbers must not be read without."""
        return notes(self.record["runs"])

    def rows(self) -> list[Record]:
        """Return a mapping for each seed and method: seed, method, gradients, and each figure as `verifier.figure`."""
        runs = self.record["runs"]
        return [
            {"seed": run["seed"], "method": title, "gradients": method["gradients"], **_figures(method)}
            for run in runs
            for title, method in zip(tables.titles(runs), run["methods"], strict=True)
        ]

    def table(self) -> Any:
        """Return `rows` as a pandas DataFrame, or as a list if pandas is not installed."""
        return data_frame(self.rows())

    def groups(self) -> Any:
        """Return the means of the nodes of each client at each distance from the deleted ones, as `table` does."""
        return data_frame(tables.flat_rows(self.record["runs"]))

    def report(self) -> Report:
        """Return the page, which a notebook shows."""
        return Report(self.folder / "evidence.html")

    def __repr__(self) -> str:
        runs = self.record["runs"]
        return f"GraphEvidence({str(self.folder)!r}: {len(runs[0]['methods'])} methods, {len(runs)} seeds)"

    def _repr_html_(self) -> str:
        """Return the tables of the page, for notebooks."""
        from rewindnet.experiments.explain.page import evidence_tables

        return evidence_tables(self.record["runs"])


def _figures(method: Record) -> Record:
    """Return the numbers of a method, by verifier and name."""
    return {f"{part['verifier']}.{one['name']}": one["value"] for part in method["evidence"] for one in part["figures"]}
