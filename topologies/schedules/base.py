"""What schedules are, and the one that never changes.

One class, one kind: `Kind(graph, weights, seed, left, *, parameters)`, with `weights` the mixing matrix [N, N] of the
whole graph. The matrix of a round depends on (seed, round) alone, so learning, retraining, unlearning and a verifier
all see the same network. Every matrix has rows that sum to 1; each kind says whether columns do too.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import Edges, Graph, edge_array

#: Matrices that a schedule remembers: a round is often asked for again at once.
_REMEMBERED = 16


class Schedule(Protocol):
    """The mixing matrices of a network, one a round, and who steps in it.

    Attributes:
        graph: every link that there may be.
        weights: the mixing matrix [N, N] of the whole graph.
        recorded: settings that a record of the schedule needs beyond those that it was asked for.
    """

    graph: Graph
    weights: sparse.csr_array
    recorded: Mapping[str, Any]

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""

    def matrix(self, round: int) -> sparse.csr_array:
        """W_t [N, N] of that round; the same object if it is the same matrix as in the round before."""

    def participating(self, round: int) -> NDArray[np.bool_] | None:
        """[N], which nodes take their local steps in that round; None: all of them."""


class Static:
    """The same mixing matrix in every round.

    Args:
        graph: on the nodes 0..N-1.
        weights: its mixing matrix [N, N].
        seed: not needed; as for every schedule.
        departed: nodes that have left: what the others have without them. The coins are those of the whole graph.

    Raises:
        TopologyError: if the two have not the same number of nodes, or a node that has left still has a weight.
    """

    recorded: Mapping[str, Any] = {}

    def __init__(self, graph: Graph, weights: sparse.csr_array, seed: int = 0, departed: tuple[int, ...] = ()) -> None:
        if weights.shape != (len(graph), len(graph)):
            shape = " × ".join(map(str, weights.shape))
            raise TopologyError(f"a graph of {len(graph)} nodes has no mixing matrix of {shape}")
        self.graph, self.weights, self._seed = graph, weights, seed
        self._departed = np.zeros(len(graph), dtype=bool)
        self._departed[list(departed)] = True
        if any(weights[[node]].nnz > 1 or weights[node, node] != 1 for node in departed):
            raise TopologyError("a node that has left neither hears anybody nor is heard")
        self._remembered: Callable[[int], sparse.csr_array] = lru_cache(_REMEMBERED)(self._matrix)

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return len(self.graph)

    @cached_property
    def _edges(self) -> Edges:
        """[m, 2], sorted: drawn for in this order, whatever the order in which the graph has them."""
        edges = np.sort(edge_array(self.graph), axis=1)
        return np.asarray(edges[np.lexsort(edges.T[::-1])])

    def matrix(self, round: int) -> sparse.csr_array:
        """W [N, N] of that round."""
        return self._remembered(round)

    def participating(self, round: int) -> NDArray[np.bool_] | None:
        """Everyone."""
        return None

    def _matrix(self, round: int) -> sparse.csr_array:
        return self.weights


def matrix_of(
    nodes: int, row: NDArray[np.int64], column: NDArray[np.int64], weight: NDArray[np.float64]
) -> sparse.csr_array:
    """The matrix [nodes, nodes] of these entries."""
    matrix = sparse.csr_array((weight, (row, column)), shape=(nodes, nodes))
    matrix.sort_indices()
    return matrix
