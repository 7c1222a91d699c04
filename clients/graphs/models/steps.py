"""Steps of Adam on the parameters of a model of nodes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rewindnet.clients.training.optimizers.adam import Adam


class Steps:
    """Takes steps of Adam, with the optimizer by which clients learn in other networks.

    Args:
        parameters: those that change.
        step_size: of a step.
        weight_decay: λ; a step follows the gradient and λ·θ.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], step_size: float, weight_decay: float = 0.0) -> None:
        self._parameters, self._step_size, self._weight_decay = list(parameters), step_size, weight_decay
        self._adam, d = Adam(), sum(parameter.numel() for parameter in self._parameters)
        self._state = torch.zeros(1, self._adam.state_size(d), dtype=torch.float64)

    def take(self, loss: Tensor) -> None:
        """Take a step down a loss."""
        gradient = flat(torch.autograd.grad(loss, self._parameters))
        with torch.no_grad():
            theta = parameters_to_vector(self._parameters).unsqueeze(0)
            slope = gradient.unsqueeze(0) + self._weight_decay * theta
            self._adam.step(theta, slope, self._state, self._step_size)
            vector_to_parameters(theta[0], self._parameters)


def flat(parts: Sequence[Tensor]) -> Tensor:
    """Return tensors as one vector."""
    return torch.cat([part.flatten() for part in parts])
