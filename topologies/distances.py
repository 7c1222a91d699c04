"""How far a node is from the others, and how quickly what it says becomes everybody's."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

_BLOCK = 20_000_000
"""Entries, at most, of the dense matrix that is mixed at once."""


class Mixing(Protocol):
    """The mixing matrices of a network, one a round."""

    @property
    def nodes(self) -> int:
        """N."""

    def matrix(self, round: int) -> sparse.csr_array:
        """W_t [N, N] of that round."""


def distances(adjacency: sparse.csr_array, node: int) -> NDArray[np.int64]:
    """[N], the number of links between the node and every other in a connected graph.

    Args:
        adjacency: [N, N], symmetric.
        node: where to begin.
    """
    order, predecessors = csgraph.breadth_first_order(adjacency, node)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    # In the order of the search predecessors come in order too, so that every ring of the search is a slice.
    before = np.concatenate([[-1], place[predecessors[order[1:]]]])
    hops = np.zeros(len(order), dtype=np.int64)
    first, last, hop = 0, 1, 0
    while last < len(order):
        hop += 1
        first, last = last, int(np.searchsorted(before, last))
        hops[order[first:last]] = hop
    return hops


def rounds_to_mix(mixing: Mixing, nodes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """[k], after how many rounds what each node says is everybody's about evenly; −1 where `most` are too few.

    A unit at the node, mixed for t rounds, is p = W_{t−1}…W_0·e_u. It counts as mixed when the nodes that share it,
    (Σp)²/Σp² of them, are at least half of all: when ‖p‖₂, to which the noise of joint views is proportional, is at
    most √2 times what it will be in the end.
    """
    chunk = max(1, _BLOCK // mixing.nodes)
    parts = [_mix(mixing, nodes[at : at + chunk], most) for at in range(0, len(nodes), chunk)]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _mix(mixing: Mixing, nodes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    taken = np.full(len(nodes), -1)
    waiting = np.arange(len(nodes))
    p = np.zeros((mixing.nodes, len(nodes)))
    p[nodes, waiting] = 1.0
    for t in range(most + 1):
        even = p.sum(axis=0) ** 2 >= mixing.nodes / 2 * np.einsum("ij,ij->j", p, p)
        taken[waiting[even]] = t
        waiting, p = waiting[~even], p[:, ~even]
        if not waiting.size or t == most:
            break
        p = mixing.matrix(t) @ p
    return taken
