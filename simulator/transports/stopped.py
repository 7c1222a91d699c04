"""Find processes that a signal has stopped, on Linux."""

from contextlib import suppress
from pathlib import Path


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped by SIGSTOP or SIGTSTP; False where the system does not tell.

    Args:
        pid: the number of the process.
    """
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "T"
    return False


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have; none where the system does not tell.

    Args:
        pid: the number of the process.
    """
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text("utf-8").split()):
                found += [child, *children(child)]
    return found
