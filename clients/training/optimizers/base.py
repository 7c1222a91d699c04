"""The base class of optimizers.

What an optimizer carries from one step of a client to the next, its state, is the client's own: it is never sent, it is
carried on from round to round, and it is kept in every checkpoint behind the parameters. Rewinding takes it back too,
so that a descent from a checkpoint goes on as learning went on there.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from rewindnet.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class OptimizerError(UserError):
    """A setting of an optimizer is not valid; the message says what is allowed."""


class Optimizer(ABC):
    """How a client turns its gradient into a step; its settings are the keyword-only parameters of its constructor."""

    @property
    @abstractmethod
    def uncovered(self) -> str:
        """Why no bound is proven of learning with it, as the part of a sentence after a colon; empty if one is."""

    @property
    def plain(self) -> bool:
        """Whether a step is θ ← θ − η·g, so that a model may take it without a buffer for g; by default it is not."""
        return False

    def state_size(self, parameters: int) -> int:
        """Return s, the number of entries of a client's state; by default there is none.

        Args:
            parameters: d.
        """
        return 0

    @abstractmethod
    def step(self, theta: "Tensor", gradient: "Tensor", state: "Tensor", step_size: float) -> None:
        """Take a step at some clients, in place.

        Args:
            theta: [k, d], their parameters.
            gradient: [k, d], at θ; may be overwritten.
            state: [k, s], zeros before the first step.
            step_size: η.
        """
