"""Handle SIGTERM and SIGHUP in processes that have started others, or have secrets on the disk."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


class Terminated(SystemExit):
    """A signal ends this process.

    Args:
        number: of the signal.
        said: sentences about how to go on.
    """

    def __init__(self, number: int, said: Sequence[str] = ()) -> None:
        super().__init__(128 + number)
        self.number, self.said = number, said

    def __str__(self) -> str:
        return "; ".join([f"ended by {signal.Signals(self.number).name}", *self.said])


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that child processes are stopped and scratch files removed.

    A signal that is ignored, as SIGHUP is below `nohup`, is ignored still.
    """
    if current_thread() is not main_thread():
        yield  # signals are the main thread's to take
        return

    def leave(number: int, _: FrameType | None) -> None:
        raise Terminated(number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in known}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
