"""Scratch folders of runs, which hold keys and messages to other processes; those of lost processes are removed."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from filelock import FileLock, Timeout

from rewindnet.simulator.signals import terminable

_PREFIX, _ALIVE = "rewindnet-", ".alive"
#: Seconds that a process may take from making its folder to locking it.
_YOUNG = 60.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a scratch folder, and remove it at the end, also when a signal ends this process.

    A process that is killed leaves its folder behind; the next one that makes a folder removes it.
    """
    sweep(Path(gettempdir()), _YOUNG)
    with terminable(), TemporaryDirectory(prefix=_PREFIX) as name, FileLock(Path(name) / _ALIVE):
        yield Path(name)


def sweep(folder: Path, young: float) -> None:
    """Remove the scratch folders of processes that are no more.

    Args:
        folder: where scratch folders are.
        young: folders that were changed within so many seconds are left alone.
    """
    for alive in folder.glob(f"{_PREFIX}*/{_ALIVE}"):
        with suppress(OSError, Timeout):
            scratch = alive.parent
            if not scratch.is_symlink() and time.time() - scratch.stat().st_mtime > young:
                with FileLock(alive, blocking=False):
                    shutil.rmtree(scratch, ignore_errors=True)
