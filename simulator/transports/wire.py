"""The wire turns the messages of nodes into neighbour-weighted sums, independently of the algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, TypeVar

from scipy.sparse import csr_array

from rewindnet.late import torch
from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.ordered import OrderedSums
from rewindnet.simulator.transports.sums import (
    AlternatingBuffers,
    MessageCounter,
    RecentCache,
    Weights,
    canonical,
    edges,
)

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["fast", "exact"]
T = TypeVar("T")


class Wire(ABC):
    """Carries the messages of a block of nodes to their neighbours, and brings theirs.

    A network may be spread over several processes which all make the same calls; what is marked collective must be
    called by all of them.

    Attributes:
        nodes: [b], the nodes of this process' block, increasing.
        root: whether this process speaks for the network.
    """

    nodes: tuple[int, ...]
    root: bool

    @abstractmethod
    def mix(self, messages: Tensor, W: csr_array, counted: bool = True) -> Tensor:
        """Return Σ_j W_ij·message_j for every node i of the block, valid until the next but one call. Collective.

        Args:
            messages: [b, d], those of the block.
            W: the matrix [N, N] of the whole network, of any pattern; it must not be changed afterwards. Every entry
                that it stores off its diagonal is a message.
            counted: whether messages are counted; those that only a study sends are not.

        Returns:
            [b, d].
        """

    @abstractmethod
    def begin(self) -> None:
        """Forget old sums: what `mix` has returned is valid as long as it is held, and its memory is not used again."""

    @abstractmethod
    def gather(self, theta: Tensor) -> Tensor:
        """Return the rows [b, ·] of all processes by node: [N, ·] at the root, [0, ·] elsewhere. Collective."""

    @abstractmethod
    def scatter(self, theta: Tensor | None, like: Tensor) -> Tensor:
        """Return the block's rows [b, ·] of θ [N, ·], the inverse of `gather`. Collective.

        Neither the input nor the result may be written to afterwards: they may be one.

        Args:
            theta: at the root; what other processes give is ignored.
            like: [b, d], of the type and on the device that the result is to have.

        Raises:
            TransportError: if the root has nothing to give.
        """

    @abstractmethod
    def agree(self, value: T) -> T:
        """Return the root's value, everywhere. Collective."""

    @abstractmethod
    def collect(self, value: T) -> list[T]:
        """Return the values of all processes, everywhere, in order of process. Collective."""

    @abstractmethod
    def carried(self) -> csr_array:
        """Return how many messages have travelled from j to i since the last call: int64 [N, N], entry [i, j], i ≠ j.

        Of the whole network, everywhere. Collective.
        """


class InProcess(Wire):
    """All nodes in this process: a round is W @ messages.

    Args:
        nodes: how many there are.
        precision: `exact` sums in node order, one neighbour at a time, so that any transport can repeat it bit for
            bit; `fast` takes one product of matrices.
    """

    root = True

    def __init__(self, nodes: int, precision: Precision = "fast") -> None:
        self.nodes = tuple(range(nodes))
        self._precision = precision
        self._weights, self._edges = RecentCache(Weights), RecentCache(edges)
        self._ordered = RecentCache(lambda W: OrderedSums(canonical(W)))
        self._buffers, self._messages = AlternatingBuffers(), MessageCounter(nodes)

    def mix(self, messages: Tensor, W: csr_array, counted: bool = True) -> Tensor:
        """Return Σ_j W_ij·message_j, in a buffer that takes turns; in new memory on a GPU, where it is short."""
        out = self._buffers.next(messages) if messages.device.type == "cpu" else torch.empty_like(messages)
        if counted:
            self._messages.count(self._edges(W))
        if self._precision == "fast":
            return self._weights(W).multiply(messages, out)
        return self._ordered(W).add_up(messages, out)

    def begin(self) -> None:
        """Give the memory of old sums back."""
        self._buffers.clear()

    def gather(self, theta: Tensor) -> Tensor:
        """Return θ itself."""
        return theta

    def scatter(self, theta: Tensor | None, like: Tensor) -> Tensor:
        """Return θ itself, if it is like `like`."""
        if theta is None:
            raise TransportError("the root has no parameters to scatter; it must give those of all nodes")
        return theta.to(like)

    def agree(self, value: T) -> T:
        """Return the value."""
        return value

    def collect(self, value: T) -> list[T]:
        """Return the value, alone."""
        return [value]

    def carried(self) -> csr_array:
        """Return the messages of all sums since the last call."""
        return self._messages.take()
