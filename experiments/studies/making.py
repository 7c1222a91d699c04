"""Check the runs of a study, and make those that are not finished yet."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rewindnet.clients.training.parallel import processors
from rewindnet.experiments.folder.format import is_complete, read_record, state
from rewindnet.experiments.folder.lock import FolderBusyError
from rewindnet.experiments.folder.sameness import difference
from rewindnet.experiments.folder.shared import SharedLearning, learning_key, learning_seconds
from rewindnet.experiments.folder.unfinished import check_target, clean_finished
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.studies.attempt import Outcome, attempt
from rewindnet.experiments.studies.display import Display
from rewindnet.experiments.studies.jobs import default_jobs, memory_of
from rewindnet.experiments.studies.on_ray import RayRuns
from rewindnet.experiments.studies.points import Point
from rewindnet.experiments.studies.queue import Queue
from rewindnet.experiments.studies.workers import Workers

#: What the names of folders with shared states begin with.
_SHARED = ".learned-"


@dataclass(frozen=True)
class Missing:
    """A run that is not finished yet, and has been checked.

    Attributes:
        point: the run.
        memory: the bytes of memory that it takes, by an estimate.
        threads: the threads that it takes at least.
        one_process: whether it is one process.
        learning: what it learns; None if that cannot be shared.
        rounds: the rounds of the checkpoints that it needs.
    """

    point: Point
    memory: float
    threads: int
    one_process: bool
    learning: str | None
    rounds: frozenset[int]


def check_points(points: Sequence[Point], force: bool, display: Display) -> list[Missing]:
    """Check the runs that are not finished yet, before the first of them is made.

    Args:
        points: the runs.
        force: make finished runs again.
        display: is notified of how many there are.

    Returns:
        The runs that are to be made.

    Raises:
        UserError: if one of the scenarios is not valid.
    """
    missing = [point for point in points if force or not _finished(point.folder, point.scenario)]
    display.checking(len(missing))
    return [_checked(point, force) for point in missing]


def make(
    missing: Sequence[Missing],
    force: bool,
    display: Display,
    jobs: int | None = None,
    command: list[str] | None = None,
    launcher: str = "local",
) -> Outcome:
    """Make runs; one that fails does not keep the others from being made.

    Args:
        missing: the runs, from `check_points`.
        force: overwrite earlier runs.
        display: is notified of every run.
        jobs: how many runs go on at the same time; 1 makes them in this process. None: as many as cores and memory
            allow.
        command: the command to record; that of this process by default.
        launcher: `local`, on this machine, or `ray`, on a Ray cluster.

    Returns:
        What became of the runs.

    Raises:
        UserError: if Ray is not installed, or its cluster has no room for a run.
    """
    ray = _on_ray(missing, force, command, jobs) if launcher == "ray" and missing else None
    if ray is not None:
        jobs = ray.jobs
    elif jobs is None:
        jobs = default_jobs([(run.memory, run.threads, run.one_process) for run in missing])
    jobs = max(1, min(jobs, len(missing)))
    display.begin(len(missing), jobs)
    learning = _shared_learning(missing)
    queue = Queue([run.point for run in missing], learning)
    try:
        if ray is not None:
            outcome = ray.make(queue, display)
        elif jobs > 1:
            outcome = Workers(jobs, force, command).make(queue, display)
        else:
            outcome = _make_here(queue, force, display, command)
        outcome.seconds_saved = _seconds_saved(learning)
        return outcome
    finally:
        display.end()
        for shared in learning.values():
            if all(is_complete(folder) for folder, other in learning.items() if other is shared):
                shutil.rmtree(shared.folder, ignore_errors=True)


def _on_ray(missing: Sequence[Missing], force: bool, command: list[str] | None, jobs: int | None) -> RayRuns:
    """Join a Ray cluster that has room for every run."""
    said = [Path(sys.argv[0]).name, *sys.argv[1:]] if command is None else command
    return RayRuns(force, said, max(run.threads for run in missing), max(run.memory for run in missing), jobs)


def _shared_learning(missing: Sequence[Missing]) -> dict[Path, SharedLearning]:
    """Return where runs share their learning, for each run that learns what another one learns, too."""
    groups: dict[str, list[Missing]] = {}
    for run in missing:
        if run.learning is not None:
            groups.setdefault(run.learning, []).append(run)
    found: dict[Path, SharedLearning] = {}
    for key, runs in groups.items():
        folder = runs[0].point.folder.parent / f"{_SHARED}{key[:16]}"
        if len(runs) > 1 or folder.is_dir():
            rounds = tuple(sorted(frozenset().union(*(run.rounds for run in runs))))
            found |= dict.fromkeys((run.point.folder for run in runs), SharedLearning(folder, key, rounds))
    return found


def _seconds_saved(learning: Mapping[Path, SharedLearning]) -> float:
    """Return by how many seconds learning and retraining were shorter than in the run that took the longest for them.

    Args:
        learning: where runs share their learning, by their folders; those that are not finished do not count.
    """
    spent: dict[str, list[float]] = {}
    for folder, shared in learning.items():
        if is_complete(folder):
            spent.setdefault(shared.key, []).append(learning_seconds(read_record(folder)))
    return sum(max(times) - time for times in spent.values() for time in times)


def _checked(point: Point, force: bool) -> Missing:
    """Check that a run can be made, and find out what it takes.

    Raises:
        UserError: if it cannot.
    """
    with suppress(FolderBusyError):
        check_target(point.folder, point.scenario, force)
    setup, backend = build_run(point.scenario), point.scenario.backend
    # A run without a number of threads takes what there is, and gets along with one.
    return Missing(
        point,
        memory_of(setup),
        min(backend.threads or 1, processors()),
        backend.build().one_process,
        learning_key(point.scenario),
        frozenset(setup.kept_rounds),
    )


def _make_here(queue: Queue, force: bool, display: Display, command: list[str] | None) -> Outcome:
    """Make runs one after another, in this process."""
    outcome = Outcome()
    while (point := queue.take()) is not None:
        if not force and _finished(point.folder, point.scenario):
            # Another process has run it in the meantime.
            queue.ended(point)
            continue
        ending = attempt(point.scenario, point.folder, force, display.started(point), command, queue.shared(point))
        outcome.note(point, ending)
        queue.ended(point)
        display.ended(point, ending)
    return outcome


def _finished(folder: Path, scenario: Scenario) -> bool:
    """Return whether a folder holds a complete run of this scenario, of the same files and by the same code.

    What a process that was killed at the end of its run has left there is removed.
    """
    written = folder / "scenario.yaml"
    if state(folder) != "complete" or not written.is_file() or written.read_text("utf-8") != scenario.to_yaml():
        return False
    if difference(folder, scenario) is not None:
        return False
    clean_finished(folder)
    return True
