"""Schedules: which mixing matrix is used in which round, and who of the network is on the line.

One class, one kind: `Kind(graph, weights, seed, *, parameters)`, with `weights` the mixing matrix [N, N] of the whole
graph. The matrix of a round depends on (seed, round) alone, so learning, retraining, unlearning and a verifier all see
the same network. Every matrix here has rows that sum to 1, and is doubly stochastic where `weights` is.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from inspect import signature
from typing import Any, Protocol

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from topologies.coins import Purpose, coins
from topologies.edges import edge_array
from topologies.errors import TopologyError

#: Matrices that a schedule remembers: a round is often asked for again at once.
_REMEMBERED = 16


class Schedule(Protocol):
    """The mixing matrices of a network, one a round."""

    graph: nx.Graph
    weights: sparse.csr_array

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""

    def matrix(self, round: int) -> sparse.csr_array:
        """W_t [N, N] of that round; the same object if it is the same matrix as in the round before."""

    def awake(self, round: int) -> NDArray[np.bool_] | None:
        """[N], which nodes take their local steps in that round; None: all of them."""


class Static:
    """The same mixing matrix in every round.

    Args:
        graph: on the nodes 0..N-1.
        weights: its mixing matrix [N, N].
        seed: not needed; as for every schedule.

    Raises:
        TopologyError: if the two have not the same number of nodes.
    """

    def __init__(self, graph: nx.Graph, weights: sparse.csr_array, seed: int = 0) -> None:
        if weights.shape != (len(graph), len(graph)):
            shape = " × ".join(map(str, weights.shape))
            raise TopologyError(f"a graph of {len(graph)} nodes has no mixing matrix of {shape}")
        self.graph, self.weights, self._seed = graph, weights, seed
        self._edges = np.sort(edge_array(graph), axis=1)
        self._edges = self._edges[np.lexsort(self._edges.T[::-1])]
        self._remembered: Callable[[int], sparse.csr_array] = lru_cache(_REMEMBERED)(self._matrix)

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return len(self.graph)

    def matrix(self, round: int) -> sparse.csr_array:
        """W [N, N] of that round."""
        return self._remembered(round)

    def awake(self, round: int) -> NDArray[np.bool_] | None:
        """Everyone."""
        return None

    def _matrix(self, round: int) -> sparse.csr_array:
        return self.weights


class LinkFailures(Static):
    """Every link fails in every round with this probability, independently; its weight then stays at both its ends.

    Raises:
        TopologyError: if the probability is not in [0, 1): at 1 nobody would ever hear anybody.
    """

    def __init__(self, graph: nx.Graph, weights: sparse.csr_array, seed: int = 0, *, probability: float = 0.2) -> None:
        super().__init__(graph, weights, seed)
        if not 0 <= probability < 1:
            raise TopologyError(f"the probability that a link fails is at least 0 and below 1, not {probability}")
        self._probability = probability
        N = self.nodes
        # With every diagonal entry stored, a round changes the data of the matrix and nothing of its pattern.
        entries = sparse.csr_array(weights + 0.0 * sparse.eye_array(N, format="csr"))
        entries.sort_indices()
        self._row = np.repeat(np.arange(N), np.diff(entries.indptr))
        self._column, self._weight = entries.indices.astype(np.int64), entries.data
        self._home = np.flatnonzero(self._row == self._column)
        keys = np.minimum(self._row, self._column) * N + np.maximum(self._row, self._column)
        self._link = np.searchsorted(self._edges[:, 0] * N + self._edges[:, 1], keys)
        self._link[self._home] = len(self._edges)

    def _matrix(self, round: int) -> sparse.csr_array:
        failed = coins(self._seed, Purpose.LINK_FAILURES, round).random(len(self._edges)) < self._probability
        lost = np.append(failed, False)[self._link]
        weight = np.where(lost, 0.0, self._weight)
        weight[self._home] += np.bincount(self._row[lost], self._weight[lost], self.nodes)
        kept = weight > 0
        return _matrix(self.nodes, self._row[kept], self._column[kept], weight[kept])


class Matchings(Static):
    """In every round some links are drawn, no two at one node, and their ends average: pairwise gossip.

    A link takes part if the key that it draws is the smallest at both its ends. Boyd, Ghosh, Prabhakar and Shah,
    "Randomized gossip algorithms" (2006), with several pairs at a time; the weights of the mixing rule are not used.
    """

    def _matrix(self, round: int) -> sparse.csr_array:
        links, N = self._edges, self.nodes
        key = coins(self._seed, Purpose.MATCHING, round).permutation(len(links))
        smallest = np.full(N, len(links))
        np.minimum.at(smallest, links.ravel(), np.repeat(key, 2))
        one, other = links[(smallest[links[:, 0]] == key) & (smallest[links[:, 1]] == key)].T
        home = np.ones(N)
        home[one] = home[other] = 0.5
        return _matrix(
            N,
            np.concatenate([np.arange(N), one, other]),
            np.concatenate([np.arange(N), other, one]),
            np.concatenate([home, np.full(2 * len(one), 0.5)]),
        )


class OnePeerExponential(Static):
    """In round t node i averages with what node i − 2^(t mod τ) sends, τ = ⌈log₂ N⌉; on the exponential topology.

    Ying et al., "Exponential graph is provably efficient for decentralized deep training" (2021): for N a power of 2,
    τ rounds average exactly. The weights of the mixing rule are not used.

    Raises:
        TopologyError: if the graph has not the links that it takes.
    """

    def __init__(self, graph: nx.Graph, weights: sparse.csr_array, seed: int = 0) -> None:
        super().__init__(graph, weights, seed)
        N = self.nodes
        self._hops = [1 << k for k in range(max(1, (N - 1).bit_length()))]
        for hop in self._hops:
            missing = [i for i in range(N) if hop % N and not graph.has_edge(i, (i - hop) % N)]
            if missing:
                raise TopologyError(
                    f"one-peer-exponential takes a link between {missing[0]} and {(missing[0] - hop) % N}, which this "
                    "topology has not; choose the exponential topology"
                )
        self._turns = [self._turn(hop % N) for hop in self._hops]

    def _turn(self, hop: int) -> sparse.csr_array:
        i = np.arange(self.nodes)
        row, column = np.concatenate([i, i]), np.concatenate([i, (i - hop) % self.nodes])
        return _matrix(self.nodes, row, column, np.full(2 * self.nodes, 0.5))

    def _matrix(self, round: int) -> sparse.csr_array:
        return self._turns[round % len(self._turns)]


SCHEDULES: Mapping[str, Callable[..., Schedule]] = {
    "static": Static,
    "link-failures": LinkFailures,
    "matchings": Matchings,
    "one-peer-exponential": OnePeerExponential,
}


def schedule(kind: str, graph: nx.Graph, weights: sparse.csr_array, seed: int, **parameters: Any) -> Schedule:
    """A schedule of a kind of `SCHEDULES`.

    Args:
        kind: of the schedule.
        graph: on the nodes 0..N-1, with every link that there may be.
        weights: the mixing matrix [N, N] of the whole graph.
        seed: of its coins.
        parameters: of the kind.

    Raises:
        TopologyError: if there is no such kind or parameter, or it does not suit the graph.
    """
    if kind not in SCHEDULES:
        raise TopologyError(f"there is no schedule '{kind}'; choose one of {', '.join(SCHEDULES)}")
    known = [name for name, of in signature(SCHEDULES[kind]).parameters.items() if of.kind is of.KEYWORD_ONLY]
    for name in parameters:
        if name not in known:
            takes = ", ".join(known) or "none"
            raise TopologyError(f"the schedule '{kind}' has no parameter '{name}'; it takes {takes}")
    return SCHEDULES[kind](graph, weights, seed, **parameters)


def _matrix(
    nodes: int, row: NDArray[np.int64], column: NDArray[np.int64], weight: NDArray[np.float64]
) -> sparse.csr_array:
    matrix = sparse.csr_array((weight, (row, column)), shape=(nodes, nodes))
    matrix.sort_indices()
    return matrix
