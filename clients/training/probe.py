"""Probes observe the computations of clients: they receive gradients and shifts, and change nothing."""

from abc import ABC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Probe(ABC):
    """Observes the computations of a block of clients; subclasses override the methods that they need."""

    @property
    def watched_rows(self) -> "Sequence[int]":
        """The rows of the block whose local steps are to be received; none unless overridden."""
        return ()

    def local_steps(self, round: int, points: "Tensor") -> None:
        """Receive where the local steps of a round began.

        Args:
            round: the address of the round.
            points: [E, w, d], for each of the E local steps the parameters of the `watched_rows` before it.
        """

    def shift(self, round: int, node: int, value: float) -> None:
        """Receive a shift: the distance between a value that a node computes and its value without the forget set.

        Args:
            round: the address of the round.
            node: the node.
            value: the norm of the difference.
        """
