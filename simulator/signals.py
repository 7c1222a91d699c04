"""Handle SIGTERM in processes that have started others."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception in this process, so that child processes are stopped."""
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
