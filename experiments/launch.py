"""Commands that run scenarios: one, or a grid of them."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from certificates import CertificateError
from clients.data import DataError
from clients.deletion import DeletionError
from clients.features import FeatureError
from clients.methods import MethodError
from clients.models import ModelError
from clients.partitions import PartitionError
from experiments import table
from experiments.assemble import assemble
from experiments.recorder import check_target
from experiments.registries import ScenarioError
from experiments.run import Progress, Result, run
from experiments.scenario import Scenario, load
from topologies import TopologyError

#: What a user can get wrong: each a sentence.
BAD_INPUT = (
    CertificateError,
    DataError,
    DeletionError,
    FeatureError,
    MethodError,
    ModelError,
    PartitionError,
    ScenarioError,
    TopologyError,
)


class RunError(RuntimeError):
    """A run that began could not be finished; its folder is marked incomplete."""


class LiveProgress(Progress):
    """A progress bar for every part of a run."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Bars(*columns, console=console, transient=True)
        self._task = self.bars.add_task("assemble", total=None)

    def phase(self, name: str, rounds: int) -> None:
        """A new bar."""
        self.bars.remove_task(self._task)
        self._task = self.bars.add_task(name, total=rounds)

    def advance(self) -> None:
        """One round further."""
        self.bars.advance(self._task)


def run_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool) -> list[str]:
    """`rewindnet run`: returns what the audit caught.

    Raises:
        one of BAD_INPUT: before anything is written.
        RunError: if it began and could not be finished.
    """
    scenario = load(path, settings)
    folder = out or Path("runs") / scenario.name
    console = Console()
    result = _run(scenario, folder, force, console)
    table.show(result.rows, console, title=_title(scenario))
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    return result.violations


def _run(scenario: Scenario, folder: Path, force: bool, console: Console) -> Result:
    check_target(folder, force)
    progress = LiveProgress(console)
    with progress.bars:
        experiment = assemble(scenario)
        try:
            return run(experiment, folder, progress)
        except CertificateError as problem:
            raise RunError(f"the run in {folder} failed: {problem}") from None


def _title(scenario: Scenario) -> str:
    deletion, topology = scenario.deletion, scenario.topology.kind
    return f"{scenario.name}: client {deletion.client} of a {topology} network deletes {_samples(scenario)}"


def _samples(scenario: Scenario) -> str:
    samples = scenario.plain()["deletion"]["samples"]
    return f"{samples} of its samples" if isinstance(samples, int | float) else f"{samples} (its samples)"
