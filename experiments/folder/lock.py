"""A lock that keeps several processes from writing to one run folder."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rewindnet.experiments.scenario.errors import ScenarioError

#: The name of the lock file inside a run folder; it is there while a run is unfinished.
LOCK = ".lock"


class FolderLock:
    """Keeps other processes from writing to a run folder, from when it is made until it is released.

    Args:
        folder: the run folder; it is made if it is not there.

    Raises:
        ScenarioError: if another process writes to it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / LOCK
        self._lock = FileLock(self._file)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise ScenarioError(
                f"another process is writing to {folder}; wait for it, or choose another with --out"
            ) from None

    def release(self, *, remove: bool = False) -> None:
        """Let other processes write to the folder.

        Args:
            remove: take the lock file away, for a run that is finished.
        """
        if self._lock.is_locked and remove:
            # While it is held: a process that opens it now finds it gone once it gets the lock, and makes another.
            # (Where files that are open cannot be removed, it stays, and does no harm.)
            with suppress(OSError):
                self._file.unlink()
        self._lock.release()
