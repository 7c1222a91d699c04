"""Mixing schedules in which nodes average in pairs."""

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules.base import Static, sparse_matrix


class Matchings(Static):
    """Pairwise gossip: random links without a common node are drawn in every round, and their two ends average.

    Every link draws a random key and takes part if its key is the smallest at both of its ends. Boyd, Ghosh, Prabhakar
    and Shah, "Randomized gossip algorithms" (2006), with several pairs at a time. The weights of the mixing rule are
    not used. Every matrix is doubly stochastic.
    """

    def _matrix(self, round: int) -> sparse.csr_array:
        links, N = self._edges, self.nodes
        key = rng_at(self._seed, Stream.MATCHING, round).permutation(len(links))
        key[self._departed[links].any(axis=1)] = len(links)
        smallest = np.full(N, len(links))
        np.minimum.at(smallest, links.ravel(), np.repeat(key, 2))
        matched = (smallest[links[:, 0]] == key) & (smallest[links[:, 1]] == key) & (key < len(links))
        first, second = links[matched].T
        diagonal = np.ones(N)
        diagonal[first] = diagonal[second] = 0.5
        return sparse_matrix(
            N,
            np.concatenate([np.arange(N), first, second]),
            np.concatenate([np.arange(N), second, first]),
            np.concatenate([diagonal, np.full(2 * len(first), 0.5)]),
        )


class OnePeerExponential(Static):
    """In round t node i averages with node i − 2^(t mod τ), τ = ⌈log₂ N⌉; for the exponential topology.

    Node i averages its own model with the one that node i − 2^(t mod τ) sends. Ying et al., "Exponential graph is
    provably efficient for decentralized deep training" (2021): for N a power of 2, τ rounds average exactly. The
    weights of the mixing rule are not used. Every matrix is doubly stochastic.

    Args:
        graph: the graph on the nodes 0..N-1.
        weights: its mixing matrix [N, N].
        seed: not used.
        departed: the nodes that have left, of which there must be none.

    Raises:
        TopologyError: if the graph lacks a link that the schedule uses, or a node has left.
    """

    def __init__(
        self, graph: nx.Graph, weights: sparse.csr_array, seed: int = 0, departed: tuple[int, ...] = ()
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        if departed:
            raise TopologyError("one-peer-exponential needs every node; no node can leave, use departure relay")
        N = self.nodes
        self._hops = [1 << k for k in range(max(1, (N - 1).bit_length()))]
        for hop in self._hops:
            missing = [i for i in range(N) if hop % N and not graph.has_edge(i, (i - hop) % N)]
            if missing:
                raise TopologyError(
                    f"one-peer-exponential needs a link between {missing[0]} and {(missing[0] - hop) % N}, which this "
                    "topology does not have; choose the exponential topology"
                )
        self._matrices = [self._matrix_of_hop(hop % N) for hop in self._hops]

    def _matrix_of_hop(self, hop: int) -> sparse.csr_array:
        """Return the matrix of the rounds in which each node averages with the one `hop` places before it."""
        i = np.arange(self.nodes)
        row, column = np.concatenate([i, i]), np.concatenate([i, (i - hop) % self.nodes])
        return sparse_matrix(self.nodes, row, column, np.full(2 * self.nodes, 0.5))

    def _matrix(self, round: int) -> sparse.csr_array:
        return self._matrices[round % len(self._matrices)]
