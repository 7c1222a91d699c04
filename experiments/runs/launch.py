"""Run a scenario into a folder: the command `rewindnet run`."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewindnet.certificates import violation
from rewindnet.errors import Notice, UserError, notice
from rewindnet.experiments.console import terminal
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.report import table
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.progress import LiveProgress, Progress
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.runs.scratch import scratch_folder
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.simulator.errors import BrokenTransportError, MachineError, TransportError
from rewindnet.simulator.transports.mpi.mpiexec import join, rank, ranks


def run_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool) -> list[str]:
    """Run a scenario file into a folder and print its table: `rewindnet run`.

    Args:
        path: the scenario file.
        settings: overrides, each `key=value`.
        out: the folder to write; runs/<name> by default.
        force: overwrite an earlier run there.

    Returns:
        A sentence for each certificate that its audit found violated.

    Raises:
        UserError: if the scenario or the folder is not valid; nothing has been written then.
        RunError: if the run began and could not be finished.
    """
    join()
    with errors_from_first_rank_only():
        scenario = load(path, settings)
        folder = out or Path("runs") / scenario.name
        started = ranks()
        if started and started > 1 and scenario.backend.kind != "mpi":
            raise TransportError(
                f"mpiexec started {started} processes, but backend.kind is {scenario.backend.kind}, not mpi"
            )
        if rank() > 0:
            scenario.backend.build().execute(RunJob(build_run(scenario), folder, False, folder))
            return []
    console = terminal()
    done = run_in(scenario, folder, force, LiveProgress(console))
    first = [("request", _request)] if any(row["request"] for row in done.summary) else []
    table.print_table(done.summary, console, title=_title(scenario), first=first)
    for line in table.composition_sentences(done.compositions):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"weights: sha256 {done.record['sha256']}", highlight=False, soft_wrap=True)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    return violations_of(done)


@contextmanager
def errors_from_first_rank_only() -> Iterator[None]:
    """Print errors about the user's input only in the first of the processes that mpiexec started.

    Raises:
        SystemExit: with code 2, in the other processes, instead of a `UserError`.
    """
    if rank() == 0:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        try:
            yield
        except UserError:
            raise SystemExit(2) from None


def run_in(
    scenario: Scenario,
    folder: Path,
    force: bool = False,
    progress: Progress | None = None,
    command: Sequence[str] | None = None,
) -> RunFolder:
    """Run a scenario into a folder, or continue its unfinished run there.

    Args:
        scenario: the scenario.
        folder: the run folder to write.
        force: overwrite an earlier run there.
        progress: is notified of every phase and round.
        command: the command to record; the command line of this process by default.

    Returns:
        The finished run.

    Raises:
        UserError: if the scenario or the folder is not valid; nothing has been written then.
        RunError: if the run began and could not be finished.
    """
    resume = check_target(folder, scenario, force)
    with progress or Progress() as display, scratch_folder() as scratch:
        job = RunJob(build_run(scenario), folder, force, scratch, display, command)
        if resume:
            display.resumed(folder)
        try:
            scenario.backend.build().execute(job)
        except BrokenTransportError as problem:
            raise MachineError(f"the run in {folder} failed: {problem}; the same command goes on with it") from None
    done = read_folder(folder)
    for sentence in done.record.get("notes", ()):
        notice(sentence)
    return done


def violations_of(run: RunFolder) -> list[str]:
    """Return a sentence for each certificate of a run that its audit found violated."""
    return [violation(certificate, audit) for certificate, audit in run.certified if not audit.holds]


def _request(row: table.Row) -> str:
    return str(row["request"])


def _title(scenario: Scenario) -> str:
    """Return the title of the table: who deletes what."""
    requests, topology = scenario.deletion.each, scenario.topology.kind
    if len(requests) > 1:
        clients = ", ".join(str(request.client) for request in requests)
        return f"{scenario.name}: {len(requests)} requests to forget in a {topology} network, of the clients {clients}"
    client, samples = requests[0].client, _samples(requests[0].plain_samples)
    article = "an" if topology[:1] in set("aeio") else "a"
    return f"{scenario.name}: client {client} of {article} {topology} network deletes {samples}"


def _samples(samples: Any) -> str:
    return f"{samples} of its samples" if isinstance(samples, int | float) else f"{samples} (its samples)"
