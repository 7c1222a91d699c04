"""Count per-sample gradients where they are computed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


class RoundGradients(NamedTuple):
    """The per-sample gradients that each node has taken in a round.

    Attributes:
        before: those taken before the node sent its message.
        after: those taken after the messages of its neighbours had come in.
    """

    before: Counts
    after: Counts

    @property
    def total(self) -> int:
        """The number of gradients of all nodes together."""
        return int(self.before.sum() + self.after.sum())


class GradientCounter:
    """Counts the per-sample gradients that clients take for the algorithm itself.

    A worker hands a counter out with its block. Blocks made from that one, of fewer clients, count at the same place;
    what a study measures is computed on blocks without a counter.

    Args:
        clients: b, the number of clients.
    """

    def __init__(self, clients: int) -> None:
        self._taken: Counts = np.zeros(clients, dtype=np.int64)
        self._rows: NDArray[np.int64] | None = None
        self._counted: NDArray[np.bool_] | None = None

    def add(self, gradients: Counts) -> None:
        """Count gradients [b], given for the clients of the block that carries this counter."""
        if self._counted is not None:
            gradients = np.where(self._counted, gradients, 0)
        if self._rows is None:
            self._taken += gradients
        else:
            self._taken[self._rows] += gradients

    def drain(self) -> Counts:
        """Return the counts [b] since the last call, and begin again at zero."""
        taken = self._taken.copy()
        self._taken[:] = 0
        return taken

    def of(self, rows: Sequence[int]) -> "GradientCounter":
        """Return a counter for a block of some of the clients, which adds to the same counts.

        Args:
            rows: which clients, by their rows in the block that carries this counter.
        """
        part = self._sharing()
        part._rows = np.asarray(rows, dtype=np.int64) if self._rows is None else self._rows[list(rows)]
        part._counted = None if self._counted is None else self._counted[list(rows)]
        return part

    def at(self, rows: Sequence[int]) -> "GradientCounter":
        """Return a counter for the same block that counts at some of its rows only."""
        part = self._sharing()
        counted = np.zeros(len(self._taken) if self._rows is None else len(self._rows), dtype=bool)
        counted[list(rows)] = True
        part._rows, part._counted = self._rows, counted if self._counted is None else counted & self._counted
        return part

    def _sharing(self) -> "GradientCounter":
        part = GradientCounter(0)
        part._taken = self._taken
        return part
