"""Schedules in which links, or nodes, are not always there."""

from typing import Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules.base import Static, matrix_of


class _Losing(Static):
    """Some entries are lost in every round, and stay with the node that would have heard them.

    Where W is symmetric and links are lost for both of their ends, what remains is symmetric.
    """

    def __init__(
        self, graph: nx.Graph, weights: sparse.csr_array, seed: int = 0, departed: tuple[int, ...] = ()
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        N = self.nodes
        # With every diagonal entry stored, a round changes the data of the matrix and nothing of its pattern.
        entries = sparse.csr_array(weights + 0.0 * sparse.eye_array(N, format="csr"))
        entries.sort_indices()
        self._row = np.repeat(np.arange(N), np.diff(entries.indptr))
        self._column, self._weight = entries.indices.astype(np.int64), entries.data
        self._home = np.flatnonzero(self._row == self._column)

    def _without(self, lost: NDArray[np.bool_]) -> sparse.csr_array:
        """W without these of its entries [nnz]."""
        lost[self._home] = False
        weight = np.where(lost, 0.0, self._weight)
        weight[self._home] += np.bincount(self._row[lost], self._weight[lost], self.nodes)
        kept = weight > 0
        # Sums of shares are 1 but for rounding; who hears nobody keeps exactly what it has.
        alone = np.bincount(self._row[kept & (self._row != self._column)], minlength=self.nodes) == 0
        weight[self._home[alone]] = 1.0
        return matrix_of(self.nodes, self._row[kept], self._column[kept], weight[kept])


class LinkFailures(_Losing):
    """Every link fails in every round with this probability, independently; its weight then stays at both its ends.

    Raises:
        TopologyError: if the probability is not in [0, 1): at 1 nobody would ever hear anybody.
    """

    def __init__(
        self,
        graph: nx.Graph,
        weights: sparse.csr_array,
        seed: int = 0,
        departed: tuple[int, ...] = (),
        *,
        probability: float = 0.2,
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        self._probability = _probability("a link fails", probability)
        keys = np.minimum(self._row, self._column) * self.nodes + np.maximum(self._row, self._column)
        self._link = np.searchsorted(self._edges[:, 0] * self.nodes + self._edges[:, 1], keys)
        self._link[self._home] = len(self._edges)

    def _matrix(self, round: int) -> sparse.csr_array:
        failed = rng_at(self._seed, Stream.LINK_FAILURES, round).random(len(self._edges)) < self._probability
        return self._without(np.append(failed, False)[self._link])


class NodeSleep(_Losing):
    """Every node sleeps in every round with this probability: it neither sends nor steps, and keeps what it has.

    Raises:
        TopologyError: if the probability is not in [0, 1): at 1 nobody would ever wake.
    """

    def __init__(
        self,
        graph: nx.Graph,
        weights: sparse.csr_array,
        seed: int = 0,
        departed: tuple[int, ...] = (),
        *,
        probability: float = 0.2,
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        self._probability = _probability("a node sleeps", probability)

    def participating(self, round: int) -> NDArray[np.bool_]:
        """[N], those that do not sleep."""
        return rng_at(self._seed, Stream.SLEEP, round).random(self.nodes) >= self._probability

    def _matrix(self, round: int) -> sparse.csr_array:
        asleep = ~self.participating(round)
        return self._without(asleep[self._row] | asleep[self._column])


class Asynchronous(_Losing):
    """One random link or node acts in every round, which is a tick; everybody else keeps still.

    `edge`: both ends of a random link step and average (Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip
    algorithms"). `node`: a random node steps and takes in what its neighbours have, who do not hear it; the matrix of
    that tick is not doubly stochastic.
    """

    def __init__(
        self,
        graph: nx.Graph,
        weights: sparse.csr_array,
        seed: int = 0,
        departed: tuple[int, ...] = (),
        *,
        activates: Literal["edge", "node"] = "edge",
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        if activates not in ("edge", "node"):
            raise TopologyError(f"asynchronous activates an edge or a node, not {activates!r}")
        if activates == "edge" and not len(self._edges):
            raise TopologyError("asynchronous activates edges, and this topology has none")
        self._by_edge = activates == "edge"

    def _active(self, round: int) -> NDArray[np.int64]:
        drawn = rng_at(self._seed, Stream.ACTIVATION, round)
        if self._by_edge:
            return np.asarray(self._edges[drawn.integers(len(self._edges))])
        return np.array([drawn.integers(self.nodes)])

    def participating(self, round: int) -> NDArray[np.bool_]:
        """[N], the ends of the link, or the node."""
        acts = np.zeros(self.nodes, dtype=bool)
        acts[self._active(round)] = True
        return acts

    def _matrix(self, round: int) -> sparse.csr_array:
        active, N = self._active(round), self.nodes
        if not self._by_edge:
            return self._without(self._row != active[0])
        home = np.ones(N)
        if self._departed[active].any():
            return matrix_of(N, np.arange(N), np.arange(N), home)
        home[active] = 0.5
        row, column = np.concatenate([np.arange(N), active]), np.concatenate([np.arange(N), active[::-1]])
        return matrix_of(N, row, column, np.concatenate([home, [0.5, 0.5]]))


def _probability(what: str, probability: float) -> float:
    if not 0 <= probability < 1:
        raise TopologyError(f"the probability that {what} is at least 0 and below 1, not {probability}")
    return probability
