"""Commands that run scenarios: one, or a grid of them."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from rewindnet.certificates import CertificateError, violation
from rewindnet.clients.data import DataError
from rewindnet.clients.data.backdoor import BackdoorError
from rewindnet.clients.data.deletion import DeletionError
from rewindnet.clients.data.features import FeatureError
from rewindnet.clients.data.partitions import PartitionError
from rewindnet.clients.methods import MethodError
from rewindnet.clients.models import ModelError
from rewindnet.clients.training.sampling import SamplingError
from rewindnet.experiments.folder.reader import FolderError, RunFolder, read_folder, state
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.report import table
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.run import Progress
from rewindnet.experiments.scenario.assemble import assemble
from rewindnet.experiments.scenario.registries import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario, load
from rewindnet.experiments.studies.grid import grid, place
from rewindnet.simulator.errors import BrokenTransportError, RunError, TransportError
from rewindnet.simulator.transports.mpi.mpiexec import join, rank, ranks
from rewindnet.topologies import TopologyError

#: What a user can get wrong: each a sentence.
BAD_INPUT = (
    BackdoorError,
    CertificateError,
    DataError,
    DeletionError,
    FeatureError,
    FolderError,
    MethodError,
    ModelError,
    PartitionError,
    SamplingError,
    ScenarioError,
    TopologyError,
    TransportError,
)


#: Characters in a line of output that goes to no terminal.
_PAGE = 240


class LiveProgress(Progress):
    """A progress bar for every part of a run."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self.bars.add_task("assemble", total=None)

    def phase(self, name: str, rounds: int | None) -> None:
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
    join()
    scenario = load(path, settings)
    folder = out or Path("runs") / scenario.name
    started = ranks()
    if started and started > 1 and scenario.backend.kind != "mpi":
        raise TransportError(
            f"mpiexec started {started} processes, but backend.kind is {scenario.backend.kind}, not mpi"
        )
    if rank() > 0:
        # Started by mpiexec, beside the process that speaks to the user and writes the folder.
        scenario.backend.build().carry_out(RunJob(assemble(scenario), folder, False, folder))
        return []
    console = terminal()
    done = _run(scenario, folder, force, console)
    first = [("request", _request)] if done.together else []
    table.show(done.summary, console, title=_title(scenario), first=first)
    for line in table.together(done.together):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"weights: sha256 {done.record['sha256']}", highlight=False, soft_wrap=True)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    return _violations(done)


def speaks() -> bool:
    """Whether it is for this process to say what is wrong: of several that mpiexec started, the first."""
    return rank() == 0


def sweep_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool) -> list[str]:
    """`rewindnet sweep`: every combination of the settings' values, each in a folder of its own, one table at the end.

    A finished run of the very same scenario is not run again; an incomplete one is gone on with.

    Raises:
        one of BAD_INPUT: about any of the scenarios, before the first is run.
        RunError: if a run began and could not be finished; the others are left as they are.
    """
    keys, points = grid(settings)
    scenarios = [load(path, [f"{key}={value}" for key, value in point.items()]) for point in points]
    folder = out or Path("runs") / f"{scenarios[0].name}-sweep"
    places = [folder / (place(point) or "run") for point in points]
    todo = [at for at, there in enumerate(places) if force or not _finished(there, scenarios[at])]
    for at in todo:
        check_target(places[at], scenarios[at], force)
        assemble(scenarios[at])
    console, violations = terminal(), []
    for at in todo:
        console.print(f"{places[at].name} ({todo.index(at) + 1} of {len(todo)})", highlight=False, soft_wrap=True)
        violations += _violations(_run(scenarios[at], places[at], force, console))
    rows = [
        {**row, "point": point}
        for point, there in zip(points, places, strict=True)
        for row in read_folder(there).summary
    ]
    first = [(key, partial(_at_point, key=key)) for key in keys]
    table.show(rows, console, title=f"{scenarios[0].name}: {len(points)} runs", first=first)
    console.print(f"run folders: {folder}", highlight=False, soft_wrap=True)
    return violations or [f"{there}: a certificate does not hold" for there in places if not _all_hold(there)]


def _finished(place: Path, scenario: Scenario) -> bool:
    written = place / "scenario.yaml"
    return state(place) == "complete" and written.is_file() and written.read_text("utf-8") == scenario.to_yaml()


def _all_hold(place: Path) -> bool:
    return all(row["holds"] for row in read_folder(place).summary)


def _at_point(row: table.Row, key: str) -> str:
    return str(row["point"][key])


def terminal() -> Console:
    """The terminal as wide as it is; a file or a pipe as wide as the table."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_PAGE)


def _run(scenario: Scenario, folder: Path, force: bool, console: Console) -> RunFolder:
    """Run it, or go on with it; returns what it left.

    Raises:
        one of BAD_INPUT: before anything is written.
        RunError: if it began and could not be finished.
    """
    resume = check_target(folder, scenario, force)
    progress = LiveProgress(console)
    with progress.bars, TemporaryDirectory(prefix="rewindnet-") as scratch:
        job = RunJob(assemble(scenario), folder, resume, Path(scratch), progress)
        if resume:
            console.print(f"going on with the run in {folder}", highlight=False, soft_wrap=True)
        try:
            scenario.backend.build().carry_out(job)
        except BrokenTransportError as problem:
            raise RunError(f"the run in {folder} failed: {problem}; the same command goes on with it") from None
    return read_folder(folder)


def _request(row: table.Row) -> str:
    return str(row["request"])


def _violations(run: RunFolder) -> list[str]:
    return [violation(certificate, found) for certificate, found in run.certified if not found.holds]


def _title(scenario: Scenario) -> str:
    asked, topology = scenario.deletion.each, scenario.topology.kind
    if len(asked) > 1:
        clients = ", ".join(str(request.client) for request in asked)
        return f"{scenario.name}: {len(asked)} requests to forget in a {topology} network, of the clients {clients}"
    return f"{scenario.name}: client {asked[0].client} of a {topology} network deletes {_samples(asked[0].plainly)}"


def _samples(samples: Any) -> str:
    return f"{samples} of its samples" if isinstance(samples, int | float) else f"{samples} (its samples)"
