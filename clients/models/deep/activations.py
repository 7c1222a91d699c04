"""Activations of deep models, with their slopes.

SmeLU is a smooth ReLU: Shamir, Lin and Coviello (2020), "Smooth activations and reproducibility in deep networks".
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from rewindnet.clients.models.errors import ModelError

#: An activation, or its slope, of values and β.
Elementwise = Callable[[Tensor, float], Tensor]


def relu(z: Tensor, beta: float) -> Tensor:
    """Compute max(z, 0)."""
    return torch.relu(z)


def smelu(z: Tensor, beta: float) -> Tensor:
    """Compute 0 up to −β, (z + β)²/(4β) up to β, and z beyond."""
    return (z.clamp(-beta, beta) + beta).square() / (4 * beta) + torch.relu(z - beta)


#: Each activation with its slope.
ACTIVATIONS: Mapping[str, tuple[Elementwise, Elementwise]] = {
    "relu": (relu, lambda z, beta: (z > 0).to(z.dtype)),
    "smelu": (smelu, lambda z, beta: ((z + beta) / (2 * beta)).clamp_(0, 1)),
}


class Activation(nn.Module):
    """An activation as a layer.

    Args:
        name: `relu` or `smelu`.
        beta: β of smelu.
    """

    def __init__(self, name: str, beta: float) -> None:
        super().__init__()
        self._activate, self._beta = ACTIVATIONS[name][0], beta

    def forward(self, z: Tensor) -> Tensor:
        """Compute the activation of every entry."""
        return self._activate(z, self._beta)


def check_beta(beta: float) -> None:
    """Refuse a β without a meaning.

    Raises:
        ModelError: if it is not positive.
    """
    if not 0 < beta < float("inf"):
        raise ModelError(f"model.beta of smelu must be a positive number, not {beta}")
