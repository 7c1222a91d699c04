"""Make the runs of a study on a Ray cluster: `rewindnet sweep … --launcher ray`.

The cluster is the one that `RAY_ADDRESS` names, or one of this machine. All of its machines need the folder of the
study, the files that scenarios read, and the package.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rewindnet.clients.training.parallel import processors, share_processors
from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.studies.attempt import Ending, Outcome, attempt
from rewindnet.experiments.studies.display import Display
from rewindnet.experiments.studies.points import Point
from rewindnet.experiments.studies.queue import Queue
from rewindnet.extras import missing_extras_named


class RayRuns:
    """Runs that are made as tasks of Ray, each with so many processors and so much memory.

    Args:
        force: overwrite earlier runs.
        command: the command to record.
        threads: the processors of a run.
        memory: the bytes of memory of a run.
        jobs: how many runs go on at the same time; None for as many as the cluster has room for.
    """

    def __init__(self, force: bool, command: Sequence[str], threads: int, memory: float, jobs: int | None) -> None:
        with missing_extras_named():
            import ray
        self._ray, self._force, self._command = ray, force, list(command)
        self._started = not ray.is_initialized()
        if self._started:
            # Runs see the accelerators of their machine, as they do without Ray.
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        room = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if threads > room.get("CPU", 0) or memory > room.get("memory", 0):
            self.end()
            raise ScenarioError(
                f"a run takes {threads} processors and {memory / 1e9:.1f} GB, and the Ray cluster has "
                f"{room.get('CPU', 0):g} and {room.get('memory', 0) / 1e9:.1f} GB"
            )
        self.jobs = min(jobs or 10**6, int(room["CPU"] // threads), int(room["memory"] // memory))
        self._make = ray.remote(num_cpus=threads, memory=int(memory), max_retries=0)(make_run)
        self._threads = threads

    def make(self, queue: Queue, display: Display) -> Outcome:
        """Make runs, and notify a display of them.

        Returns:
            What became of them.
        """
        outcome, busy = Outcome(), dict[Any, tuple[Point, Progress]]()
        try:
            while queue.remain or busy:
                while len(busy) < self.jobs and (point := queue.take()) is not None:
                    progress = display.started(point).__enter__()
                    busy[self._make.remote(self._task(point, queue.shared(point)))] = point, progress
                (done, *_), _ = self._ray.wait(list(busy))
                point, progress = busy.pop(done)
                progress.__exit__(None, None, None)
                ending = self._ending(done)
                outcome.note(point, ending)
                queue.ended(point)
                display.ended(point, ending)
        finally:
            for task in busy:
                with suppress(Exception):
                    self._ray.cancel(task, force=True)
            self.end()
        return outcome

    def end(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._started:
            self._ray.shutdown()

    def _task(self, point: Point, shared: SharedLearning | None) -> dict[str, Any]:
        """Return what a task needs to know of its run."""
        return {
            "scenario": point.scenario.plain(),
            "folder": str(point.folder.absolute()),
            "force": self._force,
            "command": self._command,
            "shared": None if shared is None else shared.to_record(),
            "threads": self._threads,
            "place": str(Path.cwd()),
        }

    def _ending(self, task: Any) -> Ending:
        """Return how a run ended; one whose process is lost has failed with its machine."""
        try:
            kind, sentence = self._ray.get(task)
            return Ending(kind, sentence)
        except self._ray.exceptions.RayError as problem:
            first = str(problem).strip().partition("\n")[0]
            return Ending("machine", f"its task was lost: {first or type(problem).__name__}")


def make_run(task: dict[str, Any]) -> tuple[str, str]:
    """Make one run, in a process of the cluster.

    Args:
        task: from `RayRuns`.

    Returns:
        How it ended, as an `Ending`.
    """
    os.chdir(task["place"])
    share_processors(max(1, processors() // task["threads"]))
    shared = None if task["shared"] is None else SharedLearning.from_record(task["shared"])
    scenario, folder = resolve(task["scenario"]), Path(task["folder"])
    ending = attempt(scenario, folder, task["force"], Progress(), task["command"], shared)
    return ending.kind, ending.sentence
