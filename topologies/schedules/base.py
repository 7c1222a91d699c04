"""The interface of mixing schedules, and the schedule that never changes.

Each schedule is a class, called as `Kind(graph, weights, seed, departed, *, settings)` with `weights` the mixing matrix
[N, N] of the whole graph. The matrix of a round depends on (seed, round) alone, so learning, retraining, unlearning and
verification all use the same matrices. The rows of every matrix sum to 1; each class says whether the columns do too.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import Edges, Graph, edge_array

#: The number of matrices that a schedule caches, because the same round is often requested several times in a row.
_CACHED = 16


class Schedule(Protocol):
    """The mixing matrices of a network and the nodes that take local steps, for each round.

    Attributes:
        graph: the graph with every link that can occur in a round.
        weights: the mixing matrix [N, N] of the whole graph.
        recorded: settings that a record of the schedule needs in addition to those that the user gave.
    """

    graph: Graph
    weights: sparse.csr_array
    recorded: Mapping[str, Any]

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""

    def matrix(self, round: int) -> sparse.csr_array:
        """Return W_t [N, N] of that round; the same object as in the round before if the matrix is the same.

        Args:
            round: t.
        """

    def participating(self, round: int) -> NDArray[np.bool_] | None:
        """Return the mask [N] of the nodes that take local steps in that round; None for all nodes.

        Args:
            round: t.
        """


class Static:
    """The same mixing matrix in every round.

    Args:
        graph: the graph on the nodes 0..N-1.
        weights: its mixing matrix [N, N].
        seed: not used by this schedule; the seed of the random draws of others.
        departed: the nodes that have left, whose weights are 0. The random draws are those for the whole graph.

    Raises:
        TopologyError: if the graph and the matrix have different numbers of nodes, or a departed node has a weight with
            another node.
    """

    recorded: Mapping[str, Any] = {}

    def __init__(self, graph: Graph, weights: sparse.csr_array, seed: int = 0, departed: tuple[int, ...] = ()) -> None:
        if weights.shape != (len(graph), len(graph)):
            shape = " × ".join(map(str, weights.shape))
            raise TopologyError(f"a graph of {len(graph)} nodes cannot have a mixing matrix of {shape}")
        self.graph, self.weights, self._seed = graph, weights, seed
        self._departed = np.zeros(len(graph), dtype=bool)
        self._departed[list(departed)] = True
        if any(weights[[node]].nnz > 1 or weights[node, node] != 1 for node in departed):
            raise TopologyError("a departed node must have the weight 1 for itself and no weight with another node")
        self._cached_matrix: Callable[[int], sparse.csr_array] = lru_cache(_CACHED)(self._matrix)

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return len(self.graph)

    @cached_property
    def _edges(self) -> Edges:
        """The edges [m, 2], sorted, so that random draws do not depend on the order of the edges in the graph."""
        edges = np.sort(edge_array(self.graph), axis=1)
        return np.asarray(edges[np.lexsort(edges.T[::-1])])

    def matrix(self, round: int) -> sparse.csr_array:
        """Return W [N, N] of that round.

        Args:
            round: t.
        """
        return self._cached_matrix(round)

    def participating(self, round: int) -> NDArray[np.bool_] | None:
        """Return None: all nodes participate.

        Args:
            round: t.
        """
        return None

    def _matrix(self, round: int) -> sparse.csr_array:
        """Compute W [N, N] of that round; subclasses override it."""
        return self.weights


def sparse_matrix(
    nodes: int, row: NDArray[np.int64], column: NDArray[np.int64], weight: NDArray[np.float64]
) -> sparse.csr_array:
    """Return the sparse matrix [nodes, nodes] with these entries.

    Args:
        nodes: N.
        row: the row of each entry.
        column: the column of each entry.
        weight: the value of each entry.
    """
    matrix = sparse.csr_array((weight, (row, column)), shape=(nodes, nodes))
    matrix.sort_indices()
    return matrix
