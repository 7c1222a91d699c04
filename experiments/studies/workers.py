"""Make several runs of a study at the same time, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from tempfile import TemporaryFile
from typing import Any

from rewindnet.clients.training.parallel import processors
from rewindnet.errors import notice
from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.studies.attempt import Ending, Outcome
from rewindnet.experiments.studies.display import Display
from rewindnet.experiments.studies.points import Point
from rewindnet.experiments.studies.queue import Queue
from rewindnet.simulator.signals import terminable

#: Seconds that a process gets to end by itself.
_GRACE = 10.0
_MODULE = "rewindnet.experiments.studies.worker"


class Workers:
    """Processes that make runs; each begins the next run when it has finished one.

    Args:
        jobs: the number of processes.
        force: overwrite earlier runs.
        command: the command to record; that of this process by default.
    """

    def __init__(self, jobs: int, force: bool, command: Sequence[str] | None = None) -> None:
        self._jobs, self._force = jobs, force
        self._command = [Path(sys.argv[0]).name, *sys.argv[1:]] if command is None else list(command)
        self._selector = DefaultSelector()

    def make(self, queue: Queue, display: Display) -> Outcome:
        """Make runs, and notify a display of them.

        A process that ends in the middle of a run is replaced by a new one, and the run has failed.

        Returns:
            What became of them.
        """
        outcome, idle, busy = Outcome(), list[_Worker](), set[_Worker]()
        try:
            with terminable():
                while queue.remain or busy:
                    while len(busy) < self._jobs and (point := queue.take()) is not None:
                        worker = idle.pop() if idle else self._start()
                        worker.begin(point, display, self._force, self._command, queue.shared(point))
                        busy.add(worker)
                    for worker, ending in self._endings(busy):
                        busy.remove(worker)
                        outcome.note(worker.point, ending)
                        queue.ended(worker.point)
                        display.ended(worker.point, ending)
                        if not worker.gone:
                            idle.append(worker)
        finally:
            for key in list(self._selector.get_map().values()):
                self._end(key.data)
        return outcome

    def _endings(self, busy: Collection["_Worker"]) -> Iterator[tuple["_Worker", Ending]]:
        """Wait until processes have written something; yield those whose run has ended, and how."""
        for key, _ in self._selector.select():
            worker: _Worker = key.data
            ending = worker.read()
            if worker.gone:
                self._end(worker)
            if ending is not None and worker in busy:
                worker.progress.__exit__(None, None, None)
                yield worker, ending

    def _start(self) -> "_Worker":
        """Start a process."""
        worker = _Worker(self._jobs)
        self._selector.register(worker.output, EVENT_READ, worker)
        return worker

    def _end(self, worker: "_Worker") -> None:
        """End a process."""
        self._selector.unregister(worker.output)
        worker.end()


class _Worker:
    """One of the processes.

    Args:
        jobs: how many of them share the processors.

    Attributes:
        point: the run that it makes.
        progress: what is notified of the progress of the run.
        gone: whether the process has ended by itself.
    """

    point: Point
    progress: Progress

    def __init__(self, jobs: int) -> None:
        self._complaints = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            # -P: what lies in the current folder is not to be imported in place of what was installed.
            [sys.executable, "-P", "-m", _MODULE, str(jobs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, "OMP_NUM_THREADS": str(max(1, processors() // jobs))},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self.output = self._process.stdin, self._process.stdout
        self._text, self.gone = b"", False

    def begin(
        self, point: Point, display: Display, force: bool, command: Sequence[str], shared: SharedLearning | None
    ) -> None:
        """Have the process make a run."""
        self.point, self.progress = point, display.started(point).__enter__()
        task = {
            "scenario": point.scenario.plain(),
            "folder": str(point.folder),
            "force": force,
            "command": list(command),
            "shared": None if shared is None else shared.to_record(),
        }
        with suppress(BrokenPipeError):
            self._input.write(json.dumps(task).encode() + b"\n")
            self._input.flush()

    def read(self) -> Ending | None:
        """Read what the process has written; return how its run ended, if it has."""
        text = os.read(self.output.fileno(), 1 << 16)
        if not text:
            self.gone = True
            return self._lost()
        *lines, self._text = (self._text + text).split(b"\n")
        endings = [ending for line in lines if (ending := self._notify(json.loads(line))) is not None]
        return endings[0] if endings else None

    def _notify(self, line: dict[str, Any]) -> Ending | None:
        """Notify the display of one line; return how the run ended, if it says so."""
        what = line.pop("what")
        if what == "ended":
            return Ending(**line)
        if what == "rounds":
            for _ in range(line["count"]):
                self.progress.advance()
        elif what == "phase":
            self.progress.phase(**line)
        elif what == "resumed":
            self.progress.resumed(Path(line["folder"]))
        elif what == "note":
            notice(line["sentence"])
        return None

    def _lost(self) -> Ending:
        """Return the ending of a run whose process has ended in the middle of it."""
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            killed = "; the system kills processes when there is no memory left" if name == "SIGKILL" else ""
            return Ending("machine", f"its process was ended by {name}{killed}")
        self._complaints.seek(0)
        lines = [line for line in self._complaints.read().splitlines() if line.strip()]
        return Ending("machine", f"its process ended with exit code {code}: {lines[-1] if lines else 'no word'}")

    def end(self) -> None:
        """End the process, and wait for it."""
        with suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.output.close()
        self._complaints.close()
