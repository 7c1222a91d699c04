"""Commands that run scenarios: one, or a grid of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from rewindnet.certificates import violation
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.report import table
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.progress import LiveProgress
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.simulator.errors import BrokenTransportError, RunError, TransportError
from rewindnet.simulator.transports.mpi.mpiexec import join, rank, ranks

#: Characters in a line of output that goes to no terminal.
_PAGE = 240


def run_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool) -> list[str]:
    """`rewindnet run`: returns what the audit caught.

    Raises:
        UserError: before anything is written.
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
        scenario.backend.build().execute(RunJob(build_run(scenario), folder, False, folder))
        return []
    console = terminal()
    done = run_scenario_in(scenario, folder, force, console)
    first = [("request", _request)] if done.together else []
    table.show(done.summary, console, title=_title(scenario), first=first)
    for line in table.together(done.together):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"weights: sha256 {done.record['sha256']}", highlight=False, soft_wrap=True)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    return violations_of(done)


def speaks() -> bool:
    """Whether it is for this process to say what is wrong: of several that mpiexec started, the first."""
    return rank() == 0


def terminal() -> Console:
    """The terminal as wide as it is; a file or a pipe as wide as the table."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_PAGE)


def run_scenario_in(scenario: Scenario, folder: Path, force: bool, console: Console) -> RunFolder:
    """Run it, or go on with it; returns what it left.

    Raises:
        UserError: before anything is written.
        RunError: if it began and could not be finished.
    """
    resume = check_target(folder, scenario, force)
    progress = LiveProgress(console)
    with progress.bars, TemporaryDirectory(prefix="rewindnet-") as scratch:
        job = RunJob(build_run(scenario), folder, resume, Path(scratch), progress)
        if resume:
            console.print(f"going on with the run in {folder}", highlight=False, soft_wrap=True)
        try:
            scenario.backend.build().execute(job)
        except BrokenTransportError as problem:
            raise RunError(f"the run in {folder} failed: {problem}; the same command goes on with it") from None
    return read_folder(folder)


def _request(row: table.Row) -> str:
    return str(row["request"])


def violations_of(run: RunFolder) -> list[str]:
    """Return a sentence for every certificate of a run that its audit found violated."""
    return [violation(certificate, found) for certificate, found in run.certified if not found.holds]


def _title(scenario: Scenario) -> str:
    asked, topology = scenario.deletion.each, scenario.topology.kind
    if len(asked) > 1:
        clients = ", ".join(str(request.client) for request in asked)
        return f"{scenario.name}: {len(asked)} requests to forget in a {topology} network, of the clients {clients}"
    return (
        f"{scenario.name}: client {asked[0].client} of a {topology} network deletes {_samples(asked[0].plain_samples)}"
    )


def _samples(samples: Any) -> str:
    return f"{samples} of its samples" if isinstance(samples, int | float) else f"{samples} (its samples)"
