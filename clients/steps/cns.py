"""A damped Newton step of every client, whose inverse Hessian is estimated from small batches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.steps.epochs import EpochRounds, mean_gradient, samples_of
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.curvature import PRODUCT, hessian_product


@dataclass(frozen=True)
class CNSStep(EpochRounds):
    """θ − (H + λI)⁻¹∇F' by every client's retained data, then one exchange of models.

    The product with the inverse is the mean of s1 recursions h ← g + h − (H_B + λI)h/c, over c, for g = ∇F' and a new
    batch B in each of their s2 steps, drawn with replacement: Agarwal, Bullins and Hazan (2017), "Second-order
    stochastic optimization for machine learning in linear time" (LiSSA).

    Attributes:
        rounds: the address of the one round.
        seed: the seed of the batches.
        recursions: s1.
        terms: s2.
        batch: samples in a batch.
        damping: λ.
        scale: c.
    """

    rounds: range
    seed: int
    recursions: int
    terms: int
    batch: int
    damping: float
    scale: float

    def epoch(self, block: ClientBlock, node: int, theta: Tensor, round: int) -> tuple[Tensor, int]:
        """Return the model after the step, and the gradients that it took; a client without data keeps its model."""
        samples, model = samples_of(block, node), block.model
        count = len(samples.y)
        if not count:
            return theta, 0
        drawn = self.generator(round, node).integers(count, size=(self.terms, self.recursions, self.batch))
        gradient, points = mean_gradient(model, theta, samples), theta.expand(self.recursions, -1)
        found = gradient.repeat(self.recursions, 1)
        weight = theta.new_full((self.recursions, self.batch), 1 / self.batch)
        for places in torch.from_numpy(drawn).to(theta.device):
            image = hessian_product(model, points, found, samples.x[places], samples.y[places], weight)
            found = found + gradient - image.add_(found, alpha=model.l2 + self.damping) / self.scale
        step = found.mean(dim=0, keepdim=True) / self.scale
        return theta - step, count + PRODUCT * drawn.size
