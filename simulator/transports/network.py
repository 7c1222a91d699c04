"""The interface of a network of clients, independent of the transport of its messages.

The clients keep their states to themselves, under names; `fetch` and `store` are for studies of the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from scipy.sparse import csr_array

from rewindnet.certificates.audits.noise.log import NoiseLogs
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.training.disturbance import MeasuredDisturbances
from rewindnet.clients.training.gradient_counter import RoundGradients

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class Network(ABC):
    """All clients of a network.

    A network may be spread over several processes which all do the same; one of them is the root and speaks for it.
    What is marked collective must be called by all of them.

    Attributes:
        root: whether this process speaks for the network.
    """

    root: bool

    @abstractmethod
    def begin(self, requests_met: int, name: str | None, measured: MeasuredDisturbances | None = None) -> None:
        """Have every client get ready to work on the data after some requests, from a checkpoint.

        Args:
            requests_met: how many requests are met.
            name: of the checkpoint; None: the state is made by the first step.
            measured: measure the disturbances of the deletion on the way, beginning with these.
        """

    @abstractmethod
    def apply(self, step: LocalStep) -> None:
        """Have every client carry out a step by itself."""

    @abstractmethod
    def run_round(self, step: CommunicationStep, round: int, W: csr_array, changed: csr_array | None = None) -> None:
        """Run one round: every client sends its message, and combines the weighted sum of those that it receives.

        Args:
            step: what the round is part of.
            round: the address of the round.
            W: [N, N], the weights; row i holds the weights of the messages that node i receives.
            changed: W − W' [N, N], if clients are to measure how much of what they receive will have changed once
                others have left. It is a study's doing and counts as no message.
        """

    @abstractmethod
    def gradients(self, everything: bool = False) -> list[RoundGradients]:
        """Return the gradients taken and the size of messages, for each `apply` and each round, in order.

        Each is returned once. Those of the latest rounds may be left for a later call, so that processes need not
        speak to each other in every round. Collective.

        Args:
            everything: leave none for later.

        Returns:
            [N] before and after the messages of each round, and before alone for each `apply`; nothing where this
            process is not the root.
        """

    @abstractmethod
    def keep(self, name: str) -> None:
        """Have every client keep its current state under this name."""

    @abstractmethod
    def halve(self, name: str) -> None:
        """Have every client keep the state of this name in half precision from now on; it is read in their own."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Have every client forget the state of this name."""

    @abstractmethod
    def fetch(self, name: str | None = None) -> Tensor:
        """Return the models of this name, or the current ones: [N, d] at the root, [0, d] elsewhere. Collective."""

    @abstractmethod
    def state(self) -> Tensor:
        """Return the current state, [N, d + s] at the root: the models, and what the optimizer carries on. Collective.

        It is what `store` takes, so that another process can go on from it.
        """

    @abstractmethod
    def store(self, name: str, theta: Tensor) -> None:
        """Have every client keep its row of a state, given as [N, d + s] at the root, under this name. Collective."""

    @abstractmethod
    def disturbances(self) -> MeasuredDisturbances:
        """Return what every deleting node has measured since `begin`. Collective."""

    @abstractmethod
    def measure_noise(self, logs: NoiseLogs) -> None:
        """Have every client measure the noise that it adds, from now until the next `begin`.

        Args:
            logs: what the nodes have measured of this task already.
        """

    @abstractmethod
    def noise_logs(self, erase: bool = False) -> NoiseLogs:
        """Return what every node has measured of its noise since `measure_noise`. Collective.

        Args:
            erase: have every client forget it, and measure no more.
        """

    @abstractmethod
    def carried(self) -> csr_array:
        """Return how many messages have gone from j to i since the last call, as counted by what carried them.

        [N, N], entry [i, j], i ≠ j. Collective.
        """

    @abstractmethod
    def agree(self, value: T) -> T:
        """Return the root's value, everywhere. Collective."""
