"""Divide work among threads of this process.

Nodes are independent, so threads take whole groups of nodes and torch computes each on a single thread of its own. The
other way round, many small products each shared by all threads, is slower, and collapses where two processes compete
for the same cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Event
from typing import TypeVar

from rewindnet.late import torch

Part = TypeVar("Part")

#: Shares of the work for each thread, so that none waits long for the slowest.
_SHARES = 4


_wanted: int | None = None
_sharing = 1


def use_threads(threads: int | None) -> None:
    """Set the number of threads; None for the number of processors of this process."""
    global _wanted
    _wanted = threads
    _pool.cache_clear()


def share_processors(among: int) -> None:
    """Use a part of the processors by default, because so many processes share them."""
    global _sharing
    _sharing = among
    _pool.cache_clear()


def threads() -> int:
    """Return the number of threads."""
    return _wanted or max(1, processors() // _sharing)


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_torch_thread() -> None:
    """Let torch use one thread, because `each` divides the work."""
    torch.set_num_threads(1)


@contextmanager
def torch_threads_restored() -> Iterator[None]:
    """Restore the number of threads of torch after a run, which uses its own threads."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def each(work: Callable[[Part], None], parts: Sequence[Part], alone: bool = False) -> None:
    """Do the work on every part, shared among `threads` threads; the order does not matter.

    Args:
        work: what to do.
        parts: with what.
        alone: on this thread, because the parts are so small that threads would wait for the interpreter's lock.
    """
    if alone or len(parts) < 2 or threads() < 2:
        for part in parts:
            work(part)
        return

    over = Event()

    def some(first: int) -> None:
        for part in parts[first::shares]:
            if over.is_set():
                return
            work(part)

    # A few shares for each thread: handing over every small part by itself would cost more than working on it.
    shares = min(len(parts), _SHARES * threads())
    try:
        for _ in _pool().map(some, range(shares)):
            pass
    finally:
        # A run that is ended would otherwise go on in its threads, for which the process waits.
        over.set()


def split(length: int, size: int) -> list[slice]:
    """Return slices of at most `size` that together cover 0 … length − 1."""
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), thread_name_prefix="nodes")
