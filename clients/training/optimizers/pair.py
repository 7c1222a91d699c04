"""Pairs of optimizers, for methods that alternate between steps on the forget set and steps on retained data.

Zhong, Luo and Liu (2025), arXiv 2504.15827: both kinds of step have optimizers of their own, so that the momentum of
neither enters the other, and the forget set, whose gradients are far larger and vary more, has an adaptive one. A
shared optimizer is what it is compared with.
"""

from typing import TYPE_CHECKING, Literal

from rewindnet.clients.training.optimizers.adam import Adam
from rewindnet.clients.training.optimizers.base import Optimizer
from rewindnet.clients.training.optimizers.sgd import SGD

if TYPE_CHECKING:
    from torch import Tensor

#: One optimizer for both kinds of step, or two: the first letter is of that of the forget set, the second of the other.
Pairing = Literal["shared-sgd", "shared-adam", "dual-ss", "dual-sa", "dual-as", "dual-aa"]
Phase = Literal["forget", "retain"]


class OptimizerPair:
    """The optimizers of steps on the forget set and on retained data; what they carry is [1, f + r] behind each other.

    Args:
        pairing: which they are.
        momentum: of SGD, in [0, 1).

    Attributes:
        shared: whether they are one.
        of: the optimizer of each phase.
    """

    def __init__(self, pairing: Pairing, momentum: float) -> None:
        kind, _, which = pairing.partition("-")
        self.shared = kind == "shared"
        letters = which[0] * 2 if self.shared else which
        self.of: dict[Phase, Optimizer] = {
            "forget": self._optimizer(letters[0], momentum),
            "retain": self._optimizer(letters[1], momentum),
        }

    def _optimizer(self, letter: str, momentum: float) -> Optimizer:
        return Adam() if letter == "a" else SGD(momentum=momentum)

    def state_size(self, parameters: int) -> int:
        """Return f + r, or the size of the one state if both share it.

        Args:
            parameters: d.
        """
        forget, retain = (self.own_size(phase, parameters) for phase in self.of)
        return forget if self.shared else forget + retain

    def own_size(self, phase: Phase, parameters: int) -> int:
        """Return f or r.

        Args:
            phase: which of them.
            parameters: d.
        """
        return self.of[phase].state_size(parameters)

    @property
    def carried(self) -> int:
        """How many messages [d] it takes to send what the optimizer of retained data carries."""
        # Whatever d is, momentum is one vector, and Adam has two and a number.
        return -(-self.own_size("retain", 2) // 2)

    def own(self, phase: Phase, state: "Tensor", parameters: int) -> "Tensor":
        """Return the part [k, f] or [k, r] of a state [k, f + r] that the optimizer of a phase carries, as a view."""
        if self.shared:
            return state
        f = self.own_size("forget", parameters)
        return state[:, :f] if phase == "forget" else state[:, f:]

    def step(self, phase: Phase, theta: "Tensor", gradient: "Tensor", state: "Tensor", step_size: float) -> None:
        """Take a step of a phase, in place.

        Args:
            phase: what the gradient is of.
            theta: [k, d].
            gradient: [k, d], at θ; may be overwritten.
            state: [k, f + r].
            step_size: η of the phase.
        """
        self.of[phase].step(theta, gradient, self.own(phase, state, theta.shape[1]), step_size)
