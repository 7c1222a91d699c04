"""Child processes that end together, each with a log of its own."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from rewindnet.simulator.transports.flower.errors import FlowerError, LateError
from rewindnet.simulator.transports.stopped import is_stopped

#: Lines of a log that are told when a process fails.
_TAIL = 12
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Processes:
    """Starts child processes, notices when one ends, and stops them all.

    Every child leads a session of its own: a Ctrl-C in the terminal reaches only this process, which stops them, and
    stopping a child stops the processes that it has started. They are killed at once: what they hold in memory is not
    needed after a run.

    Args:
        logs: folder for their output, one `<name>.log` each; made if it is not there.
        environment: theirs.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self.environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a child process."""
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    def ended(self, name: str) -> bool:
        """Return whether this child has ended, without an error.

        Raises:
            FlowerError: if it failed, or any other child has ended that was not waited for.
        """
        status = self._running[name].poll()
        if status is None:
            self.check()
            return False
        if status != 0:
            raise FlowerError(f"{name} failed ({_words(status)}){self._last_words(name)}")
        del self._running[name]
        return True

    def check(self) -> None:
        """Make sure that every child still runs.

        Raises:
            FlowerError: if one has ended.
        """
        for name, process in self._running.items():
            if (status := process.poll()) is not None:
                raise FlowerError(f"{name} ended ({_words(status)}) in the middle of the run{self._last_words(name)}")

    def check_stopped(self, seconds: float) -> None:
        """Make sure that no child has been stopped by a signal for so many seconds.

        Raises:
            LateError: if one has.
        """
        now = time.monotonic()
        for name, process in self._running.items():
            if is_stopped(process.pid):
                if now - self._stopped.setdefault(name, now) > seconds:
                    raise LateError(f"{name} was stopped by a signal, and did not go on within {seconds:g} s")
            else:
                self._stopped.pop(name, None)

    def stop(self) -> None:
        """End every child, and the processes they have started."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def _last_words(self, name: str) -> str:
        log = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        lines = [line.rstrip() for line in _COLOURS.sub("", log).splitlines() if line.strip()][-_TAIL:]
        return "; the last it said:\n" + "\n".join(lines) if lines else ""


def _words(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
