"""SCRUB's epochs: away from the teacher on the forget set, near it on the retained data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.clients.steps.epochs import Samples, logits, mean_gradient


@dataclass(frozen=True)
class ScrubEpochs(AlternatingEpochs):
    """Epochs in which clients go up KL(teacher ‖ student) on what they forget, then down γ·loss + α·KL on the rest.

    The teachers are the learned models.

    Attributes:
        temperature: by which scores are divided.
        gamma: γ.
        alpha: α.
    """

    temperature: float
    gamma: float
    alpha: float

    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of −KL."""
        return -self._divergence_gradient(model, theta, learned, samples)

    def retain_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of γ·loss + α·KL."""
        near = self._divergence_gradient(model, theta, learned, samples)
        return mean_gradient(model, theta, samples).mul_(self.gamma).add_(near, alpha=self.alpha)

    def _divergence_gradient(self, model: Model, theta: Tensor, teacher: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] at θ of T²·KL(teacher ‖ student), the mean over samples, at temperature T."""
        T = self.temperature
        wanted = torch.log_softmax(logits(model, teacher, samples.x) / T, dim=2)
        with torch.enable_grad():
            point = theta.detach().clone().requires_grad_(True)
            found = torch.log_softmax(logits(model, point, samples.x) / T, dim=2)
            divergence = (wanted.exp() * (wanted - found)).sum() * (T**2 / len(samples.y))
            (gradient,) = torch.autograd.grad(divergence, point)
        return gradient
