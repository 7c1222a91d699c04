"""Simulate the time of rounds on a modelled network, in which a node waits only for its neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.simulator.cost.network_model import NetworkModel

#: Per-sample gradients of each node [N]; None where there are none.
Gradients = NDArray[np.int64] | None


@dataclass(frozen=True)
class _Delays:
    """What the clock needs to know of W: the delay of each entry, the rows that have any, and where these begin."""

    W: csr_array
    size: int
    seconds: NDArray[np.float64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]


class Clock:
    """Simulated time on every node.

    There is no barrier: a node goes on to its next round once its own work is done and the messages it averages have
    come in, however far behind others are. With s_i the seconds that node i takes for a gradient and d_ij those that a
    message takes from j to i, a round is

        sent_j  = now_j + s_j·before_j
        heard_i = max(sent_i, max over the entries (i, j) of W of sent_j + d_ij)
        now_i   = heard_i + s_i·after_i,

    a linear map in the algebra of max and plus: the lateness of a node travels one hop a round. Nodes that adapt, then
    combine, work before they send; nodes that combine, then adapt, work after they have heard.

    Args:
        network_model: how long messages and gradients take.

    Attributes:
        now: [N], seconds since the beginning at which each node has finished its latest round.
    """

    def __init__(self, network_model: NetworkModel) -> None:
        self.now = np.zeros(network_model.nodes)
        self._network_model = network_model
        self._seconds = network_model.slowness * network_model.gradient_seconds
        self._kept: _Delays | None = None

    @property
    def elapsed(self) -> float:
        """Seconds until the last node is done."""
        return float(self.now.max(initial=0))

    def advance(self, W: csr_array, size: int, work_before: Gradients = None, work_after: Gradients = None) -> None:
        """Advance the clock by one round.

        Args:
            W: [N, N], a stored entry (i, j) is a message from j to i. It must not be changed afterwards.
            size: of every message, in bytes.
            work_before: the gradients that each node takes before it sends.
            work_after: those that it takes after it has heard.

        Raises:
            TopologyError: if W is not of this network's size.
        """
        delays = self._delays_of(W, size)
        sent = self._after(self.now, work_before)
        heard = sent.copy()
        if delays.rows.size:
            last = np.maximum.reduceat(np.take(sent, W.indices) + delays.seconds, delays.starts)
            heard[delays.rows] = np.maximum(heard[delays.rows], last)
        self.now = self._after(heard, work_after)

    def compute(self, work: Gradients) -> None:
        """Let every node take so many gradients by itself."""
        self.now = self._after(self.now, work)

    def _after(self, then: NDArray[np.float64], work: Gradients) -> NDArray[np.float64]:
        return then if work is None else then + self._seconds * work

    def _delays_of(self, W: csr_array, size: int) -> _Delays:
        """Return the delays of W, kept from one round to the next: a static network gives the same W every time."""
        if self._kept is None or self._kept.W is not W or self._kept.size != size:
            delays = self._network_model.delays(W, size)
            # A row without entries has no segment of its own: reduceat would give it the first entry of the next.
            rows = np.flatnonzero(np.diff(W.indptr))
            self._kept = _Delays(W, size, delays, rows, W.indptr[rows])
        return self._kept
