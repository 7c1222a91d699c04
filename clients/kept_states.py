"""The states that the clients of a process keep: in memory as long as they are small, on disk beyond."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, MutableMapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


#: The share of this machine's memory that kept states may take.
_SHARE = 1 / 4


class KeptStates(MutableMapping[str, "Tensor"]):
    """States by name, each stored bit for bit in the precision that it has.

    A state that would carry the total in memory beyond the limit is written to a file of its own, which is read as a
    memory map. The file has no name from then on, so that the system removes it with the state, or with the process.
    Files are in the folder that the environment variable TMPDIR names, and only their owner may read them.

    What is kept is a copy. What is returned is not, and must not be written to.

    Args:
        memory: the limit in bytes; without one nothing is written to disk.
    """

    def __init__(self, memory: float = inf) -> None:
        self._memory = memory
        self._states: dict[str, Tensor] = {}
        self._in_memory: dict[str, int] = {}

    def __setitem__(self, name: str, state: Tensor) -> None:
        """Keep a copy of a state of any shape."""
        self._in_memory.pop(name, None)
        size = state.nbytes
        if state.device.type == "cpu" and size and sum(self._in_memory.values()) + size > self._memory:
            self._states[name] = _mapped(state)
            return
        self._in_memory[name] = size
        self._states[name] = state.clone()

    def on_disk(self, name: str) -> bool:
        """Return whether a state is on disk."""
        return name in self._states and name not in self._in_memory

    def __getitem__(self, name: str) -> Tensor:
        return self._states[name]

    def __delitem__(self, name: str) -> None:
        del self._states[name]
        self._in_memory.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)


def memory_for_states(share: float = 1.0) -> float:
    """Return the bytes that kept states may take: a quarter of the memory of this machine, or of its control group.

    Args:
        share: of the network's nodes, those that the process has.
    """
    return share * _SHARE * memory_of_machine()


def memory_of_machine() -> float:
    """Return the bytes of memory of this machine, or of its control group."""
    physical = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(physical, _group_limit(Path("/sys/fs/cgroup/memory.max")))


def _group_limit(file: Path) -> float:
    try:
        return float(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return inf


def _mapped(state: Tensor) -> Tensor:
    """Return a copy of a state in a memory map of a file without a name."""
    file, name = tempfile.mkstemp(prefix="rewindnet-state-")
    try:
        with os.fdopen(file, "wb", buffering=0) as stream:
            state.contiguous().flatten().view(torch.uint8).numpy().tofile(stream)
        return torch.from_file(name, shared=False, size=state.numel(), dtype=state.dtype).view(state.shape)
    finally:
        os.unlink(name)
