"""Distances in a graph, and the number of rounds until a node's influence is spread evenly over the network."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

#: The largest number of entries of the dense matrix that is mixed at once.
_BLOCK = 20_000_000


class Mixing(Protocol):
    """The mixing matrices of a network, one for each round."""

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""

    def matrix(self, round: int) -> sparse.csr_array:
        """Return W_t [N, N] of that round.

        Args:
            round: t.
        """


def hop_distances(adjacency: sparse.csr_array, node: int) -> NDArray[np.int64]:
    """Return the number of links [N] between a node and every other node of a connected graph.

    Args:
        adjacency: [N, N], symmetric.
        node: the node.
    """
    order, predecessors = csgraph.breadth_first_order(adjacency, node)
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    # Predecessors appear in the order of the search, so the nodes at one distance are a slice of it.
    parent = np.concatenate([[-1], position[predecessors[order[1:]]]])
    hops = np.zeros(len(order), dtype=np.int64)
    first, last, hop = 0, 1, 0
    while last < len(order):
        hop += 1
        first, last = last, int(np.searchsorted(parent, last))
        hops[order[first:last]] = hop
    return hops


def rounds_to_mix(mixing: Mixing, nodes: NDArray[np.int64], max_rounds: int) -> NDArray[np.int64]:
    """Return the number of rounds [k] until each node's influence is spread about evenly.

    It is −1 where it would be more than `max_rounds`.

    A unit at node u, mixed for t rounds, is p = W_{t−1}…W_0·e_u. It counts as mixed when the effective number of nodes
    that share it, (Σp)²/Σp², is at least half of all nodes. Then ‖p‖₂, to which the noise of joint views is
    proportional, is at most √2 times its limit.

    Args:
        mixing: the mixing matrices of the network.
        nodes: [k], the nodes.
        max_rounds: the largest number of rounds.
    """
    chunk = max(1, _BLOCK // mixing.nodes)
    results = [_mix(mixing, nodes[start : start + chunk], max_rounds) for start in range(0, len(nodes), chunk)]
    return np.concatenate([np.empty(0, dtype=np.int64), *results])


def _mix(mixing: Mixing, nodes: NDArray[np.int64], max_rounds: int) -> NDArray[np.int64]:
    """Return the same for as many nodes as are mixed at once."""
    result = np.full(len(nodes), -1)
    waiting = np.arange(len(nodes))
    p = np.zeros((mixing.nodes, len(nodes)))
    p[nodes, waiting] = 1.0
    for t in range(max_rounds + 1):
        even = p.sum(axis=0) ** 2 >= mixing.nodes / 2 * np.einsum("ij,ij->j", p, p)
        result[waiting[even]] = t
        waiting, p = waiting[~even], p[:, ~even]
        if not waiting.size or t == max_rounds:
            break
        p = mixing.matrix(t) @ p
    return result
