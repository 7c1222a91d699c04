"""Runs first in every process of a run that `kills` watches: counts changes of files, and waits at one of them.

A change is a file that is opened to be written to, renamed or removed. `KILLS_UNDER` is the folder, `KILLS_AT` the
number of the change before which to wait for the end, 0 for none, and `KILLS_NOTES` the file that is written then; if
there is no such number, it lists the changes of each process.
"""

import os
import sys
import time
from typing import Any

#: For each event of Python's that changes a file, which argument is the folder that the path is relative to.
_EVENTS = {"open": None, "os.rename": 2, "os.remove": 1, "os.rmdir": 1}


def _changed(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path that is about to change; None if there is none."""
    if event not in _EVENTS or isinstance(arguments[0], int):
        return None
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        return None
    path, at = os.fsdecode(arguments[0]), _EVENTS[event]
    folder = arguments[at] if at is not None else -1
    return path if folder == -1 else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)


def _watch(under: str, notes: str, wanted: int) -> None:
    done = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        path = _changed(event, arguments)
        if path is None or not path.startswith(under):
            return
        done += 1
        if wanted in (0, done):
            file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(file, f"{os.getpid()}\t{event.removeprefix('os.')} {path.removeprefix(under)}\n".encode())
            os.close(file)
        if wanted == done:
            time.sleep(600)

    sys.addaudithook(hook)


if "KILLS_UNDER" in os.environ:
    _watch(os.environ["KILLS_UNDER"], os.environ["KILLS_NOTES"], int(os.environ["KILLS_AT"]))
