"""Schedules: which mixing matrix is used in which round."""

from dataclasses import dataclass

import networkx as nx
from scipy import sparse

from topologies.errors import TopologyError


@dataclass(frozen=True, eq=False)
class Static:
    """The same mixing matrix in every round.

    Args:
        graph: on the nodes 0..N-1.
        weights: its mixing matrix [N, N].

    Raises:
        TopologyError: if the two have not the same number of nodes.
    """

    graph: nx.Graph
    weights: sparse.csr_array

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.graph), len(self.graph)):
            shape = " × ".join(map(str, self.weights.shape))
            raise TopologyError(f"a graph of {len(self.graph)} nodes has no mixing matrix of {shape}")

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return len(self.graph)

    def matrix(self, round: int) -> sparse.csr_array:
        """W [N, N], whatever the round."""
        return self.weights
