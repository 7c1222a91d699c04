"""Adam with decoupled weight decay.

Loshchilov and Hutter (2019), "Decoupled weight decay regularization", Algorithm 2.
"""

from typing import TYPE_CHECKING

from rewindnet.clients.training.optimizers.adam import Adam
from rewindnet.clients.training.optimizers.base import OptimizerError

if TYPE_CHECKING:
    from torch import Tensor


class AdamW(Adam):
    """Adam that shrinks θ by the factor 1 − η·λ before every step, with the rules of `torch.optim.AdamW`.

    This decay is not `l2` of the model: the objective does not have it, and it is not divided as gradients are.

    Args:
        beta1: as for adam.
        beta2: as for adam.
        epsilon: as for adam.
        weight_decay: λ, at least 0.

    Raises:
        OptimizerError: if a setting is out of range.
    """

    name = "adamw"

    def __init__(
        self, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.01
    ) -> None:
        super().__init__(beta1=beta1, beta2=beta2, epsilon=epsilon)
        if not 0 <= weight_decay < float("inf"):
            raise OptimizerError(f"learning.optimizer.weight_decay is a number of at least 0, not {weight_decay}")
        self._weight_decay = weight_decay

    def step(self, theta: "Tensor", gradient: "Tensor", state: "Tensor", step_size: float) -> None:
        """Shrink the parameters, then take the step."""
        theta.mul_(1 - step_size * self._weight_decay)
        super().step(theta, gradient, state, step_size)
