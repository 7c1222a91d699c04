"""Random-walk learning: one model travels from node to node, and its holder takes the local steps."""

from typing import Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import edge_array
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules.base import Static, matrix_of


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
        ends = edge_array(graph)
        both = np.concatenate([ends, ends[:, ::-1]])
        both = both[np.lexsort((both[:, 1], both[:, 0]))]
        self._neighbours = np.split(both[:, 1], np.searchsorted(both[:, 0], np.arange(1, self.nodes)))
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
        acts = np.zeros(self.nodes, dtype=bool)
        acts[self.holder(round)] = True
        return acts

    def _matrix(self, round: int) -> sparse.csr_array:
        heard = np.arange(self.nodes)
        heard[self.holder(round + 1)] = self.holder(round)
        return matrix_of(self.nodes, np.arange(self.nodes), heard, np.ones(self.nodes))

    def _next(self, holder: int, hop: int) -> int:
        """Draw the holder after the present one."""
        drawn = rng_at(self._seed, Stream.WALK, hop)
        elsewhere, whom, declined = drawn.random(3)
        if elsewhere < self._restart:
            return int(whom * self.nodes)
        if self._rule == "mixing":
            row = slice(*self.weights.indptr[[holder, holder + 1]])
            share = np.cumsum(self.weights.data[row])
            place = min(int(np.searchsorted(share, whom * share[-1], side="right")), len(share) - 1)
            return int(self.weights.indices[row][place])
        there = self._neighbours[holder]
        if not len(there):
            return holder
        chosen = int(there[int(whom * len(there))])
        if self._rule == "metropolis" and declined >= len(there) / len(self._neighbours[chosen]):
            return holder
        return chosen
