"""Check the runs of a study, and make those that are not finished yet."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rewindnet.clients.training.parallel import processors
from rewindnet.experiments.folder.format import state
from rewindnet.experiments.folder.lock import FolderBusyError
from rewindnet.experiments.folder.sameness import difference
from rewindnet.experiments.folder.unfinished import check_target, clean_finished
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.studies.attempt import Outcome, attempt
from rewindnet.experiments.studies.display import Display
from rewindnet.experiments.studies.jobs import default_jobs, memory_of
from rewindnet.experiments.studies.points import Point
from rewindnet.experiments.studies.queue import Queue
from rewindnet.experiments.studies.workers import Workers


@dataclass(frozen=True)
class Missing:
    """A run that is not finished yet, and has been checked.

    Attributes:
        point: the run.
        memory: the bytes of memory that it takes, by an estimate.
        threads: the threads that it takes at least.
        one_process: whether it is one process.
    """

    point: Point
    memory: float
    threads: int
    one_process: bool


def check_points(points: Sequence[Point], force: bool) -> list[Missing]:
    """Check the runs that are not finished yet, before the first of them is made.

    Args:
        points: the runs.
        force: make finished runs again.

    Returns:
        The runs that are to be made.

    Raises:
        UserError: if one of the scenarios is not valid.
    """
    missing = [point for point in points if force or not _finished(point.folder, point.scenario)]
    return [_checked(point, force) for point in missing]


def make(
    missing: Sequence[Missing],
    force: bool,
    display: Display,
    jobs: int | None = None,
    command: list[str] | None = None,
) -> Outcome:
    """Make runs; one that fails does not keep the others from being made.

    Args:
        missing: the runs, from `check_points`.
        force: overwrite earlier runs.
        display: is notified of every run.
        jobs: how many runs go on at the same time; 1 makes them in this process. None: as many as cores and memory
            allow.
        command: the command to record; that of this process by default.

    Returns:
        What became of the runs.
    """
    if jobs is None:
        jobs = default_jobs([(run.memory, run.threads, run.one_process) for run in missing])
    jobs = max(1, min(jobs, len(missing)))
    display.begin(len(missing), jobs)
    queue = Queue([run.point for run in missing], lambda point: None)
    try:
        if jobs > 1:
            return Workers(jobs, force, command).make(queue, display)
        return _make_here(queue, force, display, command)
    finally:
        display.end()


def _checked(point: Point, force: bool) -> Missing:
    """Check that a run can be made, and find out what it takes.

    Raises:
        UserError: if it cannot.
    """
    with suppress(FolderBusyError):
        check_target(point.folder, point.scenario, force)
    setup, backend = build_run(point.scenario), point.scenario.backend
    # A run without a number of threads takes what there is, and gets along with one.
    return Missing(point, memory_of(setup), min(backend.threads or 1, processors()), backend.build().one_process)


def _make_here(queue: Queue, force: bool, display: Display, command: list[str] | None) -> Outcome:
    """Make runs one after another, in this process."""
    outcome = Outcome()
    while (point := queue.take()) is not None:
        if not force and _finished(point.folder, point.scenario):
            # Another process has run it in the meantime.
            queue.ended(point)
            continue
        ending = attempt(point.scenario, point.folder, force, display.started(point), command)
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
