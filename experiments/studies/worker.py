"""A process that makes runs of a study: `python -m rewindnet.experiments.studies.worker JOBS`, started by `Workers`.

It reads one task from each line of its standard input, and writes what happens as lines of JSON to its standard output.
When its standard input ends while a run goes on, the process that started it is gone, and it ends, too.
"""

import json
import os
import signal
import sys
import warnings
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any, TextIO

from rewindnet.clients.training.parallel import share_processors
from rewindnet.errors import Notice
from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.studies.attempt import attempt

#: Seconds between two lines about rounds.
_PAUSE = 0.2


class Reporter(Progress):
    """Writes the progress of a run as lines of JSON.

    Args:
        lines: where to.
    """

    def __init__(self, lines: TextIO) -> None:
        self._lines, self._rounds, self._wrote = lines, 0, monotonic()

    def write(self, what: str, **content: Any) -> None:
        """Write one line, after the rounds that have ended so far."""
        rounds, self._rounds = self._rounds, 0
        if rounds:
            self.write("rounds", count=rounds)
        self._wrote = monotonic()
        print(json.dumps({"what": what, **content}), file=self._lines, flush=True)

    def resumed(self, folder: Path) -> None:
        """Write that the run is continued."""
        self.write("resumed", folder=str(folder))

    def phase(self, name: str, rounds: int | None) -> None:
        """Write the beginning of a phase."""
        self.write("phase", name=name, rounds=rounds)

    def advance(self) -> None:
        """Count a round, and write the number of rounds now and then."""
        self._rounds += 1
        if monotonic() - self._wrote > _PAUSE:
            rounds, self._rounds = self._rounds, 0
            self.write("rounds", count=rounds)


def main(jobs: str) -> None:
    """Make runs until the standard input ends, beside so many processes that do."""
    share_processors(int(jobs))
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What a run or a library prints must not be taken for a line about the run.
    os.dup2(2, 1)
    tasks: SimpleQueue[str] = SimpleQueue()
    busy = Event()
    Thread(target=_read, args=(tasks, busy), daemon=True).start()
    while text := tasks.get():
        busy.set()
        _make(json.loads(text), Reporter(lines))
        busy.clear()


def _read(tasks: "SimpleQueue[str]", busy: Event) -> None:
    """Read tasks until the standard input ends; a run that goes on then is ended."""
    for line in sys.stdin:
        tasks.put(line)
    tasks.put("")
    if busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _make(task: dict[str, Any], reporter: Reporter) -> None:
    """Make one run, and write how it ended."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, Notice):
            reporter.write("note", sentence=str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        # The process that was started by the user has shown what there is to say about the scenario.
        scenario = resolve(task["scenario"])
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        warnings.showwarning = show
        shared = None if task["shared"] is None else SharedLearning.from_record(task["shared"])
        ending = attempt(scenario, Path(task["folder"]), task["force"], reporter, task["command"], shared)
    reporter.write("ended", kind=ending.kind, sentence=ending.sentence)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
