"""Signals by which a process that has started others is told to end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end this process as an exception would, so that what is to be stopped is stopped."""
    if current_thread() is not main_thread():
        yield  # signals are the main thread's to take
        return

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
