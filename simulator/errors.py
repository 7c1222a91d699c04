"""Errors of runs and of transports."""

import errno
import os

from rewindnet.errors import UserError


class TransportError(UserError):
    """The transport cannot run this scenario here; the message says what it can run. Nothing has been started."""


class BrokenTransportError(RuntimeError):
    """A process or connection of the transport has failed during a run; the message says which."""


class RunError(RuntimeError):
    """A run that began could not be finished; its folder is incomplete, and the message gives the reason."""


class MachineError(RunError):
    """The machine failed under a run: no room, no memory, a lost process. The same command goes on with the run."""


#: The errors of a system that has no room, no memory or no files left, or whose disk fails.
_EXHAUSTED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EFBIG})


def machine_failure(problem: BaseException) -> str | None:
    """Return what of the machine failed, in words; None if a problem is another one.

    Args:
        problem: what was raised.
    """
    if isinstance(problem, MemoryError) or "can't allocate memory" in str(problem):
        return "the memory of this machine does not suffice"
    if isinstance(problem, OSError) and problem.errno in _EXHAUSTED:
        where = f" ({problem.filename})" if problem.filename else ""
        return f"{os.strerror(problem.errno)}{where}"
    return None
