"""The wire: how messages become neighbour-weighted sums. A transport knows no algorithm."""

from typing import Literal, Protocol, TypeVar

from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.sums import Lately, Tally, Turns, Weights, edges, in_node_order, product

Precision = Literal["fast", "exact"]
T = TypeVar("T")


class Wire(Protocol):
    """Carries the messages of a block of nodes to their neighbours, and brings theirs.

    A network may be spread over several processes which all make the same calls; what is marked collective must be
    called by all of them.

    Attributes:
        nodes: [b], the nodes of this process' block, increasing.
        root: whether this process speaks for the network.
    """

    nodes: tuple[int, ...]
    root: bool

    def combine(self, messages: Tensor, W: csr_array, counted: bool = True) -> Tensor:
        """Σ_j W_ij·message_j for every node i of the block: [b, d] → [b, d], valid until the next but one call.

        W is the matrix [N, N] of the whole network, of any pattern; it must not be changed afterwards. Every entry it
        stores off its diagonal is a message, and counted as one unless it is a study's own doing. Collective.
        """

    def gather(self, theta: Tensor) -> Tensor:
        """θ [b, d] of every process → [N, d] in order of node at the root, [0, d] elsewhere. Collective."""

    def scatter(self, theta: Tensor | None, like: Tensor) -> Tensor:
        """The inverse: θ [N, ·] at the root → the block's rows [b, ·], of the type and on the device of `like` [b, d].

        What processes other than the root give is ignored. Neither the input nor the result may be written to
        afterwards: they may be one. Collective.

        Raises:
            TransportError: if the root has nothing to give.
        """

    def agree(self, value: T) -> T:
        """The root's value, everywhere. Collective."""

    def collect(self, value: T) -> list[T]:
        """Everybody's values, everywhere, in order of process. Collective."""

    def carried(self) -> csr_array:
        """How many messages have travelled from j to i since the last call: int64 [N, N], entry [i, j], i ≠ j.

        Of the whole network, everywhere. Collective.
        """


class InProcess:
    """All nodes in this process: a round is W @ messages.

    Args:
        nodes: how many there are.
        precision: `exact` sums in node order, one neighbour at a time, so that any transport can repeat it bit for
            bit; `fast` takes one dense product where that is the faster.
    """

    root = True

    def __init__(self, nodes: int, precision: Precision = "fast") -> None:
        self.nodes = tuple(range(nodes))
        self._precision = precision
        self._weights, self._edges = Lately(Weights), Lately(edges)
        self._turns, self._tally = Turns(), Tally(nodes)

    def combine(self, messages: Tensor, W: csr_array, counted: bool = True) -> Tensor:
        """Σ_j W_ij·message_j, into one of the buffers that take turns."""
        weights, out = self._weights(W), self._turns.next(messages)
        if counted:
            self._tally.count(self._edges(W))
        if self._precision == "fast" and weights.suit_a_product(messages):
            return product(weights.dense(messages), messages, out)
        return in_node_order(weights.sparse, messages.unbind(), out)

    def gather(self, theta: Tensor) -> Tensor:
        """θ itself."""
        return theta

    def scatter(self, theta: Tensor | None, like: Tensor) -> Tensor:
        """θ itself, if it is like `like`."""
        if theta is None:
            raise TransportError("the root has no parameters to scatter; it must give those of all nodes")
        return theta.to(like)

    def agree(self, value: T) -> T:
        """The value."""
        return value

    def collect(self, value: T) -> list[T]:
        """The value, alone."""
        return [value]

    def carried(self) -> csr_array:
        """What was combined since the last call."""
        return self._tally.take()
