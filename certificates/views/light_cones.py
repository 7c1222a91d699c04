"""Light cones: whose noised vector can have reached whom, in the realised graphs.

Nothing travels faster than one hop of the realised graphs in a round, so what a node has after some rounds is a
function of the vectors in its light cone alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.training import Mixing, Vector

#: Above this many nodes nobody follows the light cones of all of them.
_LARGEST = 20_000

#: How many words of 64 nodes each are carried over links before one gives up: some seconds.
_MOST_WORDS = 500_000_000


@dataclass(frozen=True)
class Cones:
    """The light cones of all nodes.

    Attributes:
        bits: [N, words], 64 nodes a word: bit v of row i says whether node i is in the light cone of node v.
    """

    bits: NDArray[np.uint64]

    @property
    def nodes(self) -> int:
        """N."""
        return len(self.bits)

    def within(self, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[n, N], for each of these n nodes the nodes in whose light cones it is."""
        return np.unpackbits(self.bits[nodes].view(np.uint8), axis=1, count=self.nodes).astype(bool)

    def sums(self, weights: Vector) -> Vector:
        """[N], the weights [N] summed over each node's light cone."""
        total = np.zeros(self.nodes)
        for part in np.array_split(np.arange(self.nodes), -(-self.nodes // 1024)):
            total += weights[part] @ self.within(part)
        return total


def light_cone(node: int, first: int, rounds: int, mixing: Mixing) -> NDArray[np.bool_]:
    """[N], whose vector at the start of round `first` something that the node has after so many rounds may depend on.

    Everything that the node has received on the way, and its own vector, count.
    """
    seen = np.zeros(mixing.nodes, dtype=bool)
    seen[node] = True
    for t in reversed(range(first, first + rounds)):
        if seen.all():
            break
        heard = mixing.matrix(t)[np.flatnonzero(seen)]
        seen[heard.indices[heard.data != 0]] = True
    return seen


def light_cones(first: int, rounds: int, mixing: Mixing) -> Cones | None:
    """The light cones of all nodes at once; None on a network too large to follow them.

    Boolean matrix products, 64 nodes a word, until every cone is the whole network.
    """
    N = mixing.nodes
    if N > _LARGEST:
        return None
    bits, everything, carried = _alone(N), _full(N), 0
    for t in reversed(range(first, first + rounds)):
        if np.array_equal(bits, np.broadcast_to(everything, bits.shape)):
            break
        W = mixing.matrix(t)
        carried += (W.nnz + N) * bits.shape[1]
        if carried > _MOST_WORDS:
            return None
        bits = _before(W, bits)
    return Cones(bits)


def cones_back(first: int, rounds: int, mixing: Mixing) -> Iterator[tuple[int, Cones | None]]:
    """For each of these rounds, the last one first, the light cones from there on of what nodes have after the last.

    None, and no more, on a network too large to follow them.
    """
    N, carried = mixing.nodes, 0
    bits, everything = _alone(min(N, _LARGEST)), _full(min(N, _LARGEST))
    for t in reversed(range(first, first + rounds)):
        if not np.array_equal(bits, np.broadcast_to(everything, bits.shape)):
            W = mixing.matrix(t)
            carried += (W.nnz + N) * bits.shape[1]
            if N > _LARGEST or carried > _MOST_WORDS:
                yield t, None
                return
            bits = _before(W, bits)
        yield t, Cones(bits)


def _alone(nodes: int) -> NDArray[np.uint64]:
    """[N, words], every node in its own light cone only."""
    own, octets = np.arange(nodes), np.zeros((nodes, -(-nodes // 64) * 8), dtype=np.uint8)
    octets[own, own // 8] = 128 >> (own % 8)
    return octets.view(np.uint64)


def _full(nodes: int) -> NDArray[np.uint64]:
    """[words], a node in every light cone."""
    octets = np.packbits(np.ones(nodes, dtype=np.uint8))
    return np.pad(octets, (0, -len(octets) % 8)).view(np.uint64)


def _before(W: csr_array, bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The light cones of one round more: who is in a cone brings in whom it hears with matrix W."""
    affected_nodes = csr_array(W != 0).tocsc()
    wider, degree = bits.copy(), np.diff(affected_nodes.indptr)
    for k in range(int(degree.max(initial=0))):
        rows = np.flatnonzero(degree > k)
        wider[rows] |= bits[affected_nodes.indices[affected_nodes.indptr[rows] + k]]
    return wider
