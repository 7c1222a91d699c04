"""Lock a run folder, so that only one process writes to it."""

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.simulator.errors import machine_failure

#: The name of the lock file in a run folder; the file exists while the run is unfinished.
LOCK = ".lock"


class FolderBusyError(ScenarioError):
    """Another process is writing to a run folder."""


class FolderLock:
    """Holds the lock of a run folder from its construction until `release`.

    Args:
        folder: the run folder; it is made if it does not exist.

    Raises:
        FolderBusyError: if another process holds the lock.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / LOCK
        self._lock = FileLock(self._file)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise FolderBusyError(
                f"another process is writing to {folder}; wait for it, or choose another with --out"
            ) from None
        except (OSError, NotImplementedError) as problem:
            if machine_failure(problem) is not None:
                raise
            raise ScenarioError(f"{folder} cannot be written to: {problem}; choose another with --out") from None

    def release(self, *, remove: bool = False) -> None:
        """Release the lock.

        Args:
            remove: also remove the lock file, because the run is finished.
        """
        if self._lock.is_locked and remove:
            # Remove it while the lock is held: a process that has the removed file open then makes a new one.
            # Systems that cannot remove open files keep it, which does no harm.
            with suppress(OSError):
                self._file.unlink()
        self._lock.release()
