"""Noise by the diagonal of the Fisher information."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.base import LocalStep
from rewindnet.clients.steps.epochs import Samples, logits, samples_of
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.noise import NoiseAddress, draw
from rewindnet.clients.training.parallel import split

#: Added to the Fisher information before it is inverted, as in the authors' code.
_LEAST = 1e-8

#: Entries of per-sample gradients that are computed at a time.
_TOGETHER = 1 << 22


@dataclass(frozen=True)
class FisherNoise(LocalStep):
    """Every client adds noise of the variance α·min(1/(F + 1e-8), c) to each parameter, F by the data that it holds.

    Attributes:
        alpha: α.
        most: c.
        address: where the noise is drawn.
    """

    alpha: float
    most: float
    address: NoiseAddress

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the models with the noise; those of clients without data as they are."""
        out, taken = theta.clone(), np.zeros(len(block.nodes), dtype=np.int64)
        for row, node in enumerate(block.nodes):
            samples = samples_of(block, node)
            if len(samples.y):
                information, taken[row] = fisher_diagonal(block.model, theta[row : row + 1], samples)
                variance = self.alpha * (1 / (information + _LEAST)).clamp(max=self.most)
                noise = torch.from_numpy(draw(theta.shape[1], self.address, node)).to(theta)
                out[row] += variance.sqrt() * noise
        block.count(taken)
        return out


def fisher_diagonal(model: Model, theta: Tensor, samples: Samples) -> tuple[Tensor, int]:
    """Compute F [d] = mean over samples of Σ_y p(y|x)·(∂ loss(y|x))², and count the gradients that it takes.

    Args:
        model: the model.
        theta: [1, d].
        samples: of one client.
    """
    n, d = len(samples.y), theta.shape[1]
    odds = torch.softmax(logits(model, theta, samples.x), dim=2)[0]
    total = theta.new_zeros(d)
    for places in split(n, max(1, _TOGETHER // d)):
        x = samples.x[places]
        for label in range(odds.shape[1]):
            target = torch.full((len(x),), label, dtype=samples.y.dtype, device=theta.device)
            gradient = model.sample_gradients(theta[0], x, target)
            total += (odds[places, label, None] * gradient**2).sum(dim=0)
    return total / n, n * odds.shape[1]
