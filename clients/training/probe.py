"""What may watch clients while they compute: a probe is shown gradients and shifts, and changes nothing."""

from abc import ABC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Probe(ABC):
    """Watches the computations of a block of clients; a subclass overrides what it wants to see."""

    def local_step(self, round: int, step: int, theta: "Tensor", gradient: "Tensor") -> None:
        """See a local step, at the very point where its gradient is taken.

        Args:
            round: the address of the round.
            step: which of the round's local steps it is.
            theta: [b, d], the parameters before the step.
            gradient: [b, d], the gradients taken there.
        """

    def shift(self, round: int, node: int, value: float) -> None:
        """See a shift: how far what a node adds noise to, or works out, is from what it would have been.

        Args:
            round: the address of the round.
            node: the node.
            value: the norm of the difference.
        """
