"""Light cones: which nodes' noised vectors can have reached a node by a given round.

Information travels at most one hop of the realised graphs in a round. What a node has after some rounds is therefore a
function of the vectors of the nodes in its light cone alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.training import Mixing, Vector

#: Above this number of nodes the light cones of all nodes are not computed.
_LARGEST = 20_000

#: The largest number of 64-bit words that are combined along links before the computation is given up: some seconds.
_MOST_WORDS = 500_000_000


@dataclass(frozen=True)
class Cones:
    """The light cones of all nodes.

    Attributes:
        bits: [N, words], with 64 nodes in a word: bit v of row i says whether node i is in the light cone of node v.
    """

    bits: NDArray[np.uint64]

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return len(self.bits)

    def within(self, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return, for each of n nodes, the mask of the nodes in whose light cones it is: [n, N].

        Args:
            nodes: [n], the nodes.
        """
        return np.unpackbits(self.bits[nodes].view(np.uint8), axis=1, count=self.nodes).astype(bool)

    def sums(self, weights: Vector) -> Vector:
        """Return the sum [N] of the weights over each node's light cone.

        Args:
            weights: [N], the weight of every node.
        """
        total = np.zeros(self.nodes)
        for part in np.array_split(np.arange(self.nodes), -(-self.nodes // 1024)):
            total += weights[part] @ self.within(part)
        return total


def light_cone(node: int, first: int, rounds: int, mixing: Mixing) -> NDArray[np.bool_]:
    """Return the light cone [N] of a node: the nodes whose vector can have influenced it.

    A node is in the cone if its vector at the start of round `first` can influence anything that `node` has or has
    received within `rounds` rounds. The node itself is always in its cone.

    Args:
        node: the node.
        first: the first round.
        rounds: the number of rounds.
        mixing: the mixing matrices of the network.
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
    """Return the light cones of all nodes at once; None for a network too large to follow them.

    They are computed by Boolean matrix products with 64 nodes in a word, until every cone is the whole network.

    Args:
        first: the first round.
        rounds: the number of rounds.
        mixing: the mixing matrices of the network.
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
    """Yield each round t, from the last to the first, with the light cones over the rounds from t to the last.

    Where the network is too large to follow them, the cones are None and the iteration ends.

    Args:
        first: the first round.
        rounds: the number of rounds.
        mixing: the mixing matrices of the network.
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
    """Return the cones of 0 rounds [N, words]: every node is in its own light cone only."""
    own, octets = np.arange(nodes), np.zeros((nodes, -(-nodes // 64) * 8), dtype=np.uint8)
    octets[own, own // 8] = 128 >> (own % 8)
    return octets.view(np.uint64)


def _full(nodes: int) -> NDArray[np.uint64]:
    """Return the row [words] of a node that is in every light cone."""
    octets = np.packbits(np.ones(nodes, dtype=np.uint8))
    return np.pad(octets, (0, -len(octets) % 8)).view(np.uint64)


def _before(W: csr_array, bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the light cones with one more, earlier, round: the nodes that members of a cone receive from join it."""
    affected_nodes = csr_array(W != 0).tocsc()
    wider, degree = bits.copy(), np.diff(affected_nodes.indptr)
    for k in range(int(degree.max(initial=0))):
        rows = np.flatnonzero(degree > k)
        wider[rows] |= bits[affected_nodes.indices[affected_nodes.indptr[rows] + k]]
    return wider
