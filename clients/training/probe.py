"""Probes observe the computations of clients: they receive gradients and shifts, and change nothing."""

from abc import ABC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Probe(ABC):
    """Observes the computations of a block of clients; subclasses override the methods that they need."""

    def local_step(self, round: int, step: int, theta: "Tensor", gradient: "Tensor") -> None:
        """Receive a local step, with the parameters at which its gradient is computed.

        Args:
            round: the address of the round.
            step: which of the round's local steps it is.
            theta: [b, d], the parameters before the step.
            gradient: [b, d], the gradients taken there.
        """

    def shift(self, round: int, node: int, value: float) -> None:
        """Receive a shift: the distance between a value that a node computes and its value without the forget set.

        Args:
            round: the address of the round.
            node: the node.
            value: the norm of the difference.
        """
