"""Random-walk learning: one model travels from node to node, and its holder takes the local steps."""

from typing import Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import edge_array
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules.base import Static, sparse_matrix


class Walk(Static):
    """A random walk as a mixing schedule: a round is a hop of the token, and only its holder participates.

    The holder takes its local steps and sends its model to the next holder, which replaces its own by it; every other
    node keeps the model that it held last. So W_t is the identity except for the row of the next holder, which is the
    unit vector of the present one.

    Args:
        graph: the graph on the nodes 0..N-1.
        weights: its mixing matrix [N, N], which the rule `mixing` uses.
        seed: the seed of the walk.
        rule: how the next holder is drawn. `uniform`: uniformly from the neighbours. `metropolis`: the same, but the
            token stays with probability 1 − min(1, d_i/d_j), with d the degrees of the present and of the drawn node,
            so that all nodes are visited equally often (Metropolis et al. 1953). `mixing`: by the row of the mixing
            matrix.
        restart: the probability that the next holder is instead drawn uniformly from the whole network.
        start: the first holder; None to draw it.

    Raises:
        TopologyError: if a setting is out of range.
    """

    def __init__(
        self,
        graph: nx.Graph,
        weights: sparse.csr_array,
        seed: int = 0,
        *,
        rule: Literal["uniform", "metropolis", "mixing"] = "metropolis",
        restart: float = 0.0,
        start: int | None = None,
    ) -> None:
        super().__init__(graph, weights, seed)
        if rule not in ("uniform", "metropolis", "mixing"):
            raise TopologyError(f"a walk goes by the rule uniform, metropolis or mixing, not {rule!r}")
        if not 0 <= restart <= 1:
            raise TopologyError(f"the probability of a restart is between 0 and 1, not {restart}")
        if start is not None and not 0 <= start < self.nodes:
            raise TopologyError(f"a walk starts at one of the nodes 0 to {self.nodes - 1}, not {start}")
        self._rule, self._restart = rule, restart
        edges = edge_array(graph)
        directed = np.concatenate([edges, edges[:, ::-1]])
        directed = directed[np.lexsort((directed[:, 1], directed[:, 0]))]
        self._neighbours = np.split(directed[:, 1], np.searchsorted(directed[:, 0], np.arange(1, self.nodes)))
        first = rng_at(seed, Stream.WALK, node=1).integers(self.nodes) if start is None else start
        self._holders = [int(first)]

    def holder(self, hop: int) -> int:
        """Return the holder of the token at that hop.

        Args:
            hop: the hop.
        """
        while len(self._holders) <= hop:
            self._holders.append(self._next(self._holders[-1], len(self._holders) - 1))
        return self._holders[hop]

    def participating(self, round: int) -> NDArray[np.bool_]:
        """Return the mask [N] of the holder.

        Args:
            round: the round, which is the hop.
        """
        mask = np.zeros(self.nodes, dtype=bool)
        mask[self.holder(round)] = True
        return mask

    def _matrix(self, round: int) -> sparse.csr_array:
        sender = np.arange(self.nodes)
        sender[self.holder(round + 1)] = self.holder(round)
        return sparse_matrix(self.nodes, np.arange(self.nodes), sender, np.ones(self.nodes))

    def _next(self, holder: int, hop: int) -> int:
        """Draw the holder after the present one."""
        rng = rng_at(self._seed, Stream.WALK, hop)
        restart_draw, choice, stay_draw = rng.random(3)
        if restart_draw < self._restart:
            return int(choice * self.nodes)
        if self._rule == "mixing":
            row = slice(*self.weights.indptr[[holder, holder + 1]])
            cumulative = np.cumsum(self.weights.data[row])
            position = min(int(np.searchsorted(cumulative, choice * cumulative[-1], side="right")), len(cumulative) - 1)
            return int(self.weights.indices[row][position])
        neighbours = self._neighbours[holder]
        if not len(neighbours):
            return holder
        chosen = int(neighbours[int(choice * len(neighbours))])
        if self._rule == "metropolis" and stay_draw >= len(neighbours) / len(self._neighbours[chosen]):
            return holder
        return chosen
