"""What a network of clients can be told, whatever carries its messages.

The clients keep their states to themselves, under names; `fetch` and `store` are for whoever studies the network.
"""

from typing import Protocol, TypeVar

from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.training.disturbance import Disturbances

T = TypeVar("T")


class Network(Protocol):
    """All clients of a network.

    A network may be spread over several processes which all do the same; one of them is the root and speaks for it.
    What is marked collective must be called by all of them.

    Attributes:
        root: whether this process speaks for the network.
    """

    root: bool

    def begin(self, requests_met: int, name: str | None, measured: Disturbances | None = None) -> None:
        """Every client gets ready to work on this data from a state it keeps (None: from nowhere in particular).

        Args:
            requests_met: what to work on.
            name: the state to begin from.
            measured: measure the disturbances of the deletion on the way, beginning with these.
        """

    def apply(self, step: LocalStep) -> None:
        """Every client does this by itself."""

    def exchange(self, step: CommunicationStep, round: int, W: csr_array, changed: csr_array | None = None) -> None:
        """One round: every client sends its message and takes in the sum of what it hears, weighted by W [N, N].

        Args:
            step: what the round is part of.
            round: its address.
            W: who hears whom.
            changed: W − W' [N, N], if clients are to measure how much of what they hear will have changed once others
                have left. It is a study's doing and counts as no message.
        """

    def keep(self, name: str) -> None:
        """Every client keeps its current state under this name."""

    def drop(self, name: str) -> None:
        """Every client forgets the state of this name."""

    def fetch(self, name: str | None = None) -> Tensor:
        """The state of this name, or the current one: [N, d] at the root, [0, d] elsewhere. Collective."""

    def store(self, name: str, theta: Tensor) -> None:
        """Have every client keep its row of θ, given as [N, d] at the root, under this name. Collective."""

    def disturbances(self) -> Disturbances:
        """What was measured since `begin`, by every deleting node. Collective."""

    def carried(self) -> csr_array:
        """How many messages have gone from j to i, as counted by what carried them: [N, N], entry [i, j], i ≠ j.

        Since the last call. Collective.
        """

    def agree(self, value: T) -> T:
        """The root's value, everywhere. Collective."""
