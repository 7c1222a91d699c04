"""Check the runs of a study, and make those that are not finished yet."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rewindnet.clients.methods.baselines import Retrain
from rewindnet.clients.training.parallel import processors
from rewindnet.experiments.folder.format import is_complete, read_record, state
from rewindnet.experiments.folder.lock import FolderBusyError
from rewindnet.experiments.folder.sameness import difference
from rewindnet.experiments.folder.shared import (
    SharedLearning,
    learning_key,
    models_folder,
    models_key,
    seconds_of,
)
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
#: The most bytes for the models of every round, with which runs that delete something else share their learning.
_LENT = 1 << 30


@dataclass(frozen=True)
class Missing:
    """A run that is not finished yet, and has been checked.

    Attributes:
        point: the run.
        memory: the bytes of memory that it takes, by an estimate.
        threads: the threads that it takes at least.
        one_process: whether it is one process.
        learning: what it learns; None if that cannot be shared.
        models: what it learns whatever it deletes; None if that cannot be shared.
        rounds: the rounds of the checkpoints that it needs.
    """

    point: Point
    memory: float
    threads: int
    one_process: bool
    learning: str | None
    models: str | None
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
        for shared in {shared for run in learning.values() for shared in run.folders}:
            if all(is_complete(folder) for folder, run in learning.items() if shared in run.folders):
                shutil.rmtree(shared, ignore_errors=True)


def _on_ray(missing: Sequence[Missing], force: bool, command: list[str] | None, jobs: int | None) -> RayRuns:
    """Join a Ray cluster that has room for every run."""
    said = [Path(sys.argv[0]).name, *sys.argv[1:]] if command is None else command
    return RayRuns(force, said, max(run.threads for run in missing), max(run.memory for run in missing), jobs)


def _shared_learning(missing: Sequence[Missing]) -> dict[Path, SharedLearning]:
    """Return where runs share their learning, for each run that learns what another one learns, too."""
    same, alike = _groups(missing, lambda run: run.learning), _groups(missing, lambda run: run.models)
    found: dict[Path, SharedLearning] = {}
    for run in missing:
        if run.learning is None:
            continue
        study, learns_same, learns_alike = run.point.folder.parent, same[run.learning], alike.get(run.models or "", [])
        folder = study / f"{_SHARED}{run.learning[:16]}"
        together = len(learns_same) > 1 or folder.is_dir()
        rounds = sorted(frozenset().union(*(other.rounds for other in learns_same))) if together else []
        # Runs that delete the same need no models of every round: they take up what the first of them has made.
        follow = len({other.learning for other in learns_alike}) > 1
        models = run.models if run.models and (follow or models_folder(study, run.models).is_dir()) else ""
        if rounds or models:
            found[run.point.folder] = SharedLearning(folder, run.learning, tuple(rounds), models)
    return found


def _groups(missing: Sequence[Missing], key: Callable[[Missing], str | None]) -> dict[str, list[Missing]]:
    """Return the runs that have a key in common, by key; without those that have none."""
    groups: dict[str, list[Missing]] = {}
    for run in missing:
        if (common := key(run)) is not None:
            groups.setdefault(common, []).append(run)
    return groups


def _seconds_saved(learning: Mapping[Path, SharedLearning]) -> float:
    """Return by how many seconds learning and retraining were shorter than in the run that took the longest for them.

    Args:
        learning: where runs share their learning, by their folders; those that are not finished do not count.
    """
    spent: dict[str, list[float]] = {}
    for folder, shared in learning.items():
        if is_complete(folder):
            record = read_record(folder)
            spent.setdefault(shared.models or shared.key, []).append(seconds_of(record, "learn"))
            spent.setdefault(f"{shared.key} {Retrain.name}", []).append(seconds_of(record, Retrain.name))
    return sum(max(times) - time for times in spent.values() for time in times)


def _checked(point: Point, force: bool) -> Missing:
    """Check that a run can be made, and find out what it takes.

    Raises:
        UserError: if it cannot.
    """
    with suppress(FolderBusyError):
        check_target(point.folder, point.scenario, force)
    setup, backend = build_run(point.scenario), point.scenario.backend
    one_process = backend.build().one_process
    model, size = setup.network.model, setup.network.nodes * setup.network.message_bytes
    followed = one_process and setup.local_training.optimizer.state_size(model.parameters) == 0
    followed &= size * (point.scenario.learning.rounds + 1) <= _LENT
    # A run without a number of threads takes what there is, and gets along with one.
    return Missing(
        point,
        memory_of(setup),
        min(backend.threads or 1, processors()),
        one_process,
        learning_key(point.scenario),
        models_key(point.scenario) if followed else None,
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
