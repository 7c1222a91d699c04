"""Count per-sample gradients where they are computed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


class RoundGradients(NamedTuple):
    """The per-sample gradients that each node has taken in a round, and the size of the messages.

    Attributes:
        before: those taken before the node sent its message.
        after: those taken after the messages of its neighbours had come in.
        inner: how many of both were taken for inner problems: all but one of each sample and step. None: none.
        message_bytes: the size of each message, as it was sent; 0 where nothing is.
    """

    before: Counts
    after: Counts
    inner: Counts | None = None
    message_bytes: int = 0

    @property
    def total(self) -> int:
        """The number of gradients of all nodes together, those of inner problems included."""
        return int(self.before.sum() + self.after.sum())

    @property
    def of_steps(self) -> int:
        """The number of gradients of all nodes together, one for each sample and step."""
        return self.total - (0 if self.inner is None else int(self.inner.sum()))


class GradientCounter:
    """Counts the per-sample gradients that clients take for the algorithm itself.

    A worker hands a counter out with its block. Blocks made from that one, of fewer clients, count at the same place;
    what a study measures is computed on blocks without a counter.

    Args:
        clients: b, the number of clients.
    """

    def __init__(self, clients: int) -> None:
        self._taken: Counts = np.zeros(clients, dtype=np.int64)
        self._inner: Counts = np.zeros(clients, dtype=np.int64)
        self._rows: NDArray[np.int64] | None = None
        self._counted: NDArray[np.bool_] | None = None

    def add(self, gradients: Counts, inner: Counts | int = 0) -> None:
        """Count gradients [b], given for the clients of the block that carries this counter.

        Args:
            gradients: all that were taken.
            inner: how many of them were taken for inner problems.
        """
        for counts, more in ((self._taken, gradients), (self._inner, inner)):
            counted = more if self._counted is None else np.where(self._counted, more, 0)
            counts[slice(None) if self._rows is None else self._rows] += counted

    def drain(self) -> tuple[Counts, Counts]:
        """Return the counts [b] since the last call, of all and of those for inner problems; begin again at zero."""
        taken, inner = self._taken.copy(), self._inner.copy()
        self._taken[:] = self._inner[:] = 0
        return taken, inner

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
        part._taken, part._inner = self._taken, self._inner
        return part
