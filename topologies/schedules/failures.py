"""Mixing schedules in which links fail or nodes do not participate in some rounds."""

from functools import cached_property
from typing import ClassVar, Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules.base import Static, sparse_matrix


class _LossySchedule(Static):
    """A schedule in which some entries of W are lost in every round; each is added to the diagonal of its row.

    Where W is symmetric and a lost link loses both of its entries, the remaining matrix is symmetric.
    """

    def __init__(
        self, graph: nx.Graph, weights: sparse.csr_array, seed: int = 0, departed: tuple[int, ...] = ()
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        N = self.nodes
        # Storing every diagonal entry lets a round change the data of the matrix without changing its pattern.
        entries = sparse.csr_array(weights + 0.0 * sparse.eye_array(N, format="csr"))
        entries.sort_indices()
        self._row = np.repeat(np.arange(N), np.diff(entries.indptr))
        self._column, self._weight = entries.indices.astype(np.int64), entries.data
        self._diagonal = np.flatnonzero(self._row == self._column)

    def _without_entries(self, lost: NDArray[np.bool_]) -> sparse.csr_array:
        """Return W without these entries [nnz], each added to the diagonal of its row."""
        lost[self._diagonal] = False
        weight = np.where(lost, 0.0, self._weight)
        weight[self._diagonal] += np.bincount(self._row[lost], self._weight[lost], self.nodes)
        nonzero = weight > 0
        # The sum of a row is 1 only up to rounding; a node that receives nothing must keep its model exactly.
        isolated = np.bincount(self._row[nonzero & (self._row != self._column)], minlength=self.nodes) == 0
        weight[self._diagonal[isolated]] = 1.0
        return sparse_matrix(self.nodes, self._row[nonzero], self._column[nonzero], weight[nonzero])


class _RandomlyLossySchedule(_LossySchedule):
    """A lossy schedule in which what happens in a round has a given probability."""

    #: What has the probability, as the part of a sentence.
    _event: ClassVar[str]

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
        if not 0 <= probability < 1:
            raise TopologyError(f"the probability that {self._event} is at least 0 and below 1, not {probability}")
        self._probability = probability


class LinkFailures(_RandomlyLossySchedule):
    """Every link fails independently with a given probability in every round; both ends keep its weight.

    Args:
        graph: the graph on the nodes 0..N-1.
        weights: its mixing matrix [N, N].
        seed: the seed of the failures.
        departed: the nodes that have left.
        probability: the probability that a link fails in a round, in [0, 1).

    Raises:
        TopologyError: if the probability is out of range.
    """

    _event = "a link fails"

    @cached_property
    def _link(self) -> NDArray[np.int64]:
        """The link of every entry of W; the number of links, for those on the diagonal."""
        keys = np.minimum(self._row, self._column) * self.nodes + np.maximum(self._row, self._column)
        link: NDArray[np.int64] = np.searchsorted(self._edges[:, 0] * self.nodes + self._edges[:, 1], keys)
        link[self._diagonal] = len(self._edges)
        return link

    def _matrix(self, round: int) -> sparse.csr_array:
        failed = rng_at(self._seed, Stream.LINK_FAILURES, round).random(len(self._edges)) < self._probability
        return self._without_entries(np.append(failed, False)[self._link])


class NodeSleep(_RandomlyLossySchedule):
    """Every node is inactive with a given probability in every round: it neither sends nor steps, and keeps its model.

    Args:
        graph: the graph on the nodes 0..N-1.
        weights: its mixing matrix [N, N].
        seed: the seed of the draws.
        departed: the nodes that have left.
        probability: the probability that a node is inactive in a round, in [0, 1).

    Raises:
        TopologyError: if the probability is out of range.
    """

    _event = "a node sleeps"

    def participating(self, round: int) -> NDArray[np.bool_]:
        """Return the mask [N] of the nodes that are active in that round.

        Args:
            round: t.
        """
        return rng_at(self._seed, Stream.SLEEP, round).random(self.nodes) >= self._probability

    def _matrix(self, round: int) -> sparse.csr_array:
        inactive = ~self.participating(round)
        return self._without_entries(inactive[self._row] | inactive[self._column])


class Asynchronous(_LossySchedule):
    """One random link or node acts in every round; all other nodes keep their models.

    With `edge`, both ends of a random link step and average (Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip
    algorithms"). With `node`, a random node steps and averages the models of its neighbours, which do not receive its
    own; the matrix of such a round is not doubly stochastic.

    Args:
        graph: the graph on the nodes 0..N-1.
        weights: its mixing matrix [N, N].
        seed: the seed of the draws.
        departed: the nodes that have left.
        activates: `edge` or `node`.

    Raises:
        TopologyError: if `activates` is unknown, or there is no edge to activate.
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
        """Return the nodes that act in that round."""
        rng = rng_at(self._seed, Stream.ACTIVATION, round)
        if self._by_edge:
            return np.asarray(self._edges[rng.integers(len(self._edges))])
        return np.array([rng.integers(self.nodes)])

    def participating(self, round: int) -> NDArray[np.bool_]:
        """Return the mask [N] of the ends of the link, or of the node, that acts in that round.

        Args:
            round: t.
        """
        mask = np.zeros(self.nodes, dtype=bool)
        mask[self._active(round)] = True
        return mask

    def _matrix(self, round: int) -> sparse.csr_array:
        active, N = self._active(round), self.nodes
        if not self._by_edge:
            return self._without_entries(self._row != active[0])
        diagonal = np.ones(N)
        if self._departed[active].any():
            return sparse_matrix(N, np.arange(N), np.arange(N), diagonal)
        diagonal[active] = 0.5
        row, column = np.concatenate([np.arange(N), active]), np.concatenate([np.arange(N), active[::-1]])
        return sparse_matrix(N, row, column, np.concatenate([diagonal, [0.5, 0.5]]))
