"""Light cones: which nodes' noised vectors can have reached a node by a given round.

Information travels at most one hop of the realised graphs in a round. What a node has after some rounds is therefore a
function of the vectors of the nodes in its light cone alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.network import Mixing, Vector

#: Above this number of nodes the light cones of all nodes are not computed.
_LARGEST = 20_000

#: The largest number of 64-bit words that are combined along links before the computation is given up: some seconds.
_MOST_WORDS = 500_000_000


@dataclass(frozen=True)
class LightCones:
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
        for chunk in np.array_split(np.arange(self.nodes), -(-self.nodes // 1024)):
            total += weights[chunk] @ self.within(chunk)
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
    cone = np.zeros(mixing.nodes, dtype=bool)
    cone[node] = True
    for t in reversed(range(first, first + rounds)):
        if cone.all():
            break
        rows = mixing.matrix(t)[np.flatnonzero(cone)]
        cone[rows.indices[rows.data != 0]] = True
    return cone


def light_cones(first: int, rounds: int, mixing: Mixing) -> LightCones | None:
    """Return the light cones of all nodes at once; None for a network too large to follow them.

    They are computed by Boolean matrix products with 64 nodes in a word, until no cone grows any more.

    Args:
        first: the first round.
        rounds: the number of rounds.
        mixing: the mixing matrices of the network.
    """
    N = mixing.nodes
    if N > _LARGEST:
        return None
    bits, full, words = _single_node_cones(N), _full_row(N), 0
    settled: csr_array | None = None
    for t in reversed(range(first, first + rounds)):
        if np.array_equal(bits, np.broadcast_to(full, bits.shape)):
            break
        W = mixing.matrix(t)
        # In a network of several parts the cones never fill, but a matrix that adds nothing adds nothing later.
        if W is settled:
            continue
        words += (W.nnz + N) * bits.shape[1]
        if words > _MOST_WORDS:
            return None
        extended = _extended(W, bits)
        settled = W if np.array_equal(extended, bits) else None
        bits = extended
    return LightCones(bits)


def light_cones_backwards(first: int, rounds: int, mixing: Mixing) -> Iterator[tuple[int, LightCones | None]]:
    """Yield each round t, from the last to the first, with the light cones over the rounds from t to the last.

    Where the network is too large to follow them, the cones are None and the iteration ends.

    Args:
        first: the first round.
        rounds: the number of rounds.
        mixing: the mixing matrices of the network.
    """
    N, words = mixing.nodes, 0
    bits, full = _single_node_cones(min(N, _LARGEST)), _full_row(min(N, _LARGEST))
    for t in reversed(range(first, first + rounds)):
        if not np.array_equal(bits, np.broadcast_to(full, bits.shape)):
            W = mixing.matrix(t)
            words += (W.nnz + N) * bits.shape[1]
            if N > _LARGEST or words > _MOST_WORDS:
                yield t, None
                return
            bits = _extended(W, bits)
        yield t, LightCones(bits)


def _single_node_cones(nodes: int) -> NDArray[np.uint64]:
    """Return the cones of 0 rounds [N, words]: every node is in its own light cone only."""
    indices, octets = np.arange(nodes), np.zeros((nodes, -(-nodes // 64) * 8), dtype=np.uint8)
    octets[indices, indices // 8] = 128 >> (indices % 8)
    return octets.view(np.uint64)


def _full_row(nodes: int) -> NDArray[np.uint64]:
    """Return the row [words] of a node that is in every light cone."""
    octets = np.packbits(np.ones(nodes, dtype=np.uint8))
    return np.pad(octets, (0, -len(octets) % 8)).view(np.uint64)


def _extended(W: csr_array, bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the light cones with one more, earlier, round: the nodes that members of a cone receive from join it."""
    receivers = csr_array(W != 0).tocsc()
    extended, degree = bits.copy(), np.diff(receivers.indptr)
    for k in range(int(degree.max(initial=0))):
        rows = np.flatnonzero(degree > k)
        extended[rows] |= bits[receivers.indices[receivers.indptr[rows] + k]]
    return extended
