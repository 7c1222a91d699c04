"""Adam: steps scaled by running means of gradients and of their squares.

Kingma and Ba (2015), "Adam: a method for stochastic optimization", Algorithm 1.
"""

from typing import TYPE_CHECKING

from rewindnet.clients.training.optimizers.base import Optimizer, OptimizerError

if TYPE_CHECKING:
    from torch import Tensor


class Adam(Optimizer):
    """Adam, with the rules of `torch.optim.Adam`; steps are counted at each client, in those that it takes.

    Weight decay is `l2` of the model, which adds the same to every gradient; `adamw` has another one.

    Args:
        beta1: the share of the mean of gradients that a step keeps, in [0, 1).
        beta2: the share of the mean of squared gradients that a step keeps, in [0, 1).
        epsilon: added to the root of that mean, above 0.

    Raises:
        OptimizerError: if a setting is out of range.
    """

    name = "adam"

    def __init__(self, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise OptimizerError(f"learning.optimizer.beta1 and beta2 lie in [0, 1), not {beta1} and {beta2}")
        if not 0 < epsilon < float("inf"):
            raise OptimizerError(f"learning.optimizer.epsilon is a positive number, not {epsilon}")
        self._beta1, self._beta2, self._epsilon = beta1, beta2, epsilon

    @property
    def uncovered(self) -> str:
        """Why no bound is proven of learning with it."""
        return (
            f"the network learned with {self.name}, which divides its steps by a running mean of earlier gradients, "
            "and the bound is proven for plain gradient steps alone"
        )

    def state_size(self, parameters: int) -> int:
        """Return the size of both running means, and of the number of steps."""
        return 2 * parameters + 1

    def step(self, theta: "Tensor", gradient: "Tensor", state: "Tensor", step_size: float) -> None:
        """Take the step."""
        d = theta.shape[1]
        mean, square, taken = state[:, :d], state[:, d : 2 * d], state[:, 2 * d :]
        taken.add_(1)
        mean.lerp_(gradient, 1 - self._beta1)
        square.mul_(self._beta2).addcmul_(gradient, gradient, value=1 - self._beta2)
        # Corrections in double precision, as in torch, where they are numbers of Python.
        steps = taken.double()
        first, second = ((1 - beta**steps) for beta in (self._beta1, self._beta2))
        denominator = square.sqrt().div_(second.sqrt().to(square)).add_(self._epsilon)
        theta.sub_((step_size / first).to(theta) * (mean / denominator))
