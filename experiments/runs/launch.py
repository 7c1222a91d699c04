"""Run a scenario into a folder: the command `rewindnet run`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewindnet.errors import notice
from rewindnet.experiments.console import terminal
from rewindnet.experiments.early import errors_from_first_rank_only
from rewindnet.experiments.folder.format import state
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.report import table
from rewindnet.experiments.report.columns import Row
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.progress import LiveProgress, Progress
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.runs.scratch import scratch_folder
from rewindnet.experiments.scenario.names import client_title, node_of
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.simulator.errors import BrokenTransportError, MachineError, TransportError
from rewindnet.simulator.signals import Terminated
from rewindnet.simulator.transports.mpi.mpiexec import join
from rewindnet.simulator.transports.mpi.ranks import rank, ranks

#: The largest number of clients that a title names.
_NAMED = 12


def run_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool, wide: bool = False) -> list[str]:
    """Run a scenario file into a folder and print its table: `rewindnet run`.

    Args:
        path: the scenario file, or the name of a recipe.
        settings: overrides, each `key=value`.
        out: the folder to write; runs/<name> by default.
        force: overwrite an earlier run there.
        wide: print all columns of the table, however narrow the terminal is.

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
    console = terminal(wide=wide)
    done = run_in(scenario, folder, force, LiveProgress(console))
    first, names = [("request", _request)] if any(row["request"] for row in done.summary) else [], done.names
    table.print_table(done.summary, console, title=_title(scenario, names), first=first, names=names)
    for line in table.composition_sentences(done.compositions, done.summary):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"weights: sha256 {done.record['sha256']}", highlight=False, soft_wrap=True)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    return violations_of(done)


def run_in(
    scenario: Scenario,
    folder: Path,
    force: bool = False,
    progress: Progress | None = None,
    command: Sequence[str] | None = None,
    shared: SharedLearning | None = None,
) -> RunFolder:
    """Run a scenario into a folder, or continue its unfinished run there.

    Args:
        scenario: the scenario.
        folder: the run folder to write.
        force: overwrite an earlier run there.
        progress: is notified of every phase and round.
        command: the command to record; the command line of this process by default.
        shared: where the states of learning are shared with other runs.

    Returns:
        The finished run.

    Raises:
        UserError: if the scenario or the folder is not valid; nothing has been written then.
        RunError: if the run began and could not be finished.
        KeyboardInterrupt: with a sentence about how to go on, if the user interrupts the run.
        Terminated: with such a sentence, if another signal ends the run.
    """
    resume = check_target(folder, scenario, force)
    with progress or Progress() as display, scratch_folder() as scratch:
        job = RunJob(build_run(scenario), folder, force, scratch, display, command, shared)
        if resume:
            display.resumed(folder)
        try:
            scenario.backend.build().execute(job)
        except BrokenTransportError as problem:
            raise MachineError(f"the run in {folder} failed: {problem}; the same command goes on with it") from None
        except KeyboardInterrupt:
            raise KeyboardInterrupt(*_how_to_go_on(scenario, folder, force)) from None
        except Terminated as stop:
            raise Terminated(stop.number, _how_to_go_on(scenario, folder, force)) from None
    done = read_folder(folder)
    for sentence in done.record.get("notes", ()):
        notice(sentence)
    return done


def _how_to_go_on(scenario: Scenario, folder: Path, force: bool) -> list[str]:
    """Say which command goes on with an interrupted run; say nothing if there is nothing to go on with."""
    if state(folder) != "incomplete":
        return []
    if scenario.noise_is_secret:
        return ["noise_source os keeps no unfinished run, so the same command begins anew"]
    return ["the same command goes on" if not force else "the same command without --force goes on"]


def violations_of(run: RunFolder) -> list[str]:
    """Return a sentence for each certificate of a run that its audit found violated."""
    return run.violations


def _request(row: Row) -> str:
    return str(row["request"])


def _title(scenario: Scenario, names: Sequence[str] | None) -> str:
    """Return the title of the table: who deletes what."""
    requests, network = scenario.deletion.each, _network(scenario.topology.kind)
    clients = [_client(request.client, names) for request in requests]
    if len(requests) > 1:
        listed = ", ".join(clients[:_NAMED]) + (" …" if len(clients) > _NAMED else "")
        return f"{scenario.name}: {len(requests)} requests to forget in {network}, of the clients {listed}"
    return f"{scenario.name}: client {clients[0]} of {network} deletes {_samples(requests[0].plain_samples)}"


def _network(topology: str) -> str:
    """Return the network of a topology, with its article."""
    if topology in ("file", "largest-part"):
        return "a network from a file"
    return f"{'an' if topology[:1] in set('aeio') else 'a'} {topology} network"


def _client(given: int | str, names: Sequence[str] | None) -> str:
    """Return a client of a request by its name, and the number of its node where that is another."""
    return str(given) if names is None else client_title(node_of(given, names, len(names))[0], names)


def _samples(samples: Any) -> str:
    """Return what a request deletes, in words."""
    if isinstance(samples, Mapping):
        chosen = samples.get("indices")
        return f"its samples of class {samples['class']}" if chosen is None else f"{len(chosen)} of its samples"
    if samples in ("all", 1.0) and not isinstance(samples, int):
        return "all of its samples"
    if isinstance(samples, float):
        return f"{100 * samples:g} % of its samples"
    return f"{samples} of its samples" if isinstance(samples, int) else f"its {samples} samples"
