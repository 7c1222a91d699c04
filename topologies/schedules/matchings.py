"""Schedules in which nodes meet in pairs."""

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules.base import Static, matrix_of


class Matchings(Static):
    """In every round some links are drawn, no two at one node, and their ends average: pairwise gossip.

    A link takes part if the key that it draws is the smallest at both its ends. Boyd, Ghosh, Prabhakar and Shah,
    "Randomized gossip algorithms" (2006), with several pairs at a time; the weights of the mixing rule are not used.
    """

    def _matrix(self, round: int) -> sparse.csr_array:
        links, N = self._edges, self.nodes
        key = rng_at(self._seed, Stream.MATCHING, round).permutation(len(links))
        key[self._departed[links].any(axis=1)] = len(links)
        smallest = np.full(N, len(links))
        np.minimum.at(smallest, links.ravel(), np.repeat(key, 2))
        met = (smallest[links[:, 0]] == key) & (smallest[links[:, 1]] == key) & (key < len(links))
        one, other = links[met].T
        home = np.ones(N)
        home[one] = home[other] = 0.5
        return matrix_of(
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

    def __init__(
        self, graph: nx.Graph, weights: sparse.csr_array, seed: int = 0, departed: tuple[int, ...] = ()
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        if departed:
            raise TopologyError("one-peer-exponential takes every node; nobody can leave it, use departure relay")
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
        return matrix_of(self.nodes, row, column, np.full(2 * self.nodes, 0.5))

    def _matrix(self, round: int) -> sparse.csr_array:
        return self._turns[round % len(self._turns)]
