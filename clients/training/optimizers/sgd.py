"""Gradient descent, plain or with momentum."""

from typing import TYPE_CHECKING

from rewindnet.clients.training.optimizers.base import Optimizer, OptimizerError

if TYPE_CHECKING:
    from torch import Tensor


class SGD(Optimizer):
    """Plain gradient steps θ ← θ − η·g; with momentum v ← μ·v + g and θ ← θ − η·v, or θ ← θ − η·(g + μ·v) by Nesterov.

    The rules are those of `torch.optim.SGD`. Weight decay is `l2` of the model, which adds the same to every gradient.

    Args:
        momentum: μ, in [0, 1); 0 for plain steps, of which alone bounds are proven.
        nesterov: take the step of Nesterov's momentum.

    Raises:
        OptimizerError: if a setting is out of range.
    """

    def __init__(self, *, momentum: float = 0.0, nesterov: bool = False) -> None:
        if not 0 <= momentum < 1:
            raise OptimizerError(f"learning.optimizer.momentum lies in [0, 1), not {momentum}")
        if nesterov and not momentum:
            raise OptimizerError("learning.optimizer.nesterov needs a momentum above 0")
        self._momentum, self._nesterov = momentum, nesterov

    @property
    def plain(self) -> bool:
        """Whether there is no momentum."""
        return not self._momentum

    @property
    def uncovered(self) -> str:
        """Why no bound is proven of learning with momentum; empty without it."""
        if self.plain:
            return ""
        return (
            "the network learned with momentum, and the bound is proven for plain gradient steps alone, which carry "
            "nothing from one step to the next"
        )

    def state_size(self, parameters: int) -> int:
        """Return d for the velocity v; 0 without momentum."""
        return parameters if self._momentum else 0

    def step(self, theta: "Tensor", gradient: "Tensor", state: "Tensor", step_size: float) -> None:
        """Take the step."""
        if self._momentum:
            state.mul_(self._momentum).add_(gradient)
            gradient = gradient.add_(state, alpha=self._momentum) if self._nesterov else state
        theta.add_(gradient, alpha=-step_size)
