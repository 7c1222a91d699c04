"""NPO's epochs: labels of the forget set become less likely than by the learned model, the loss falls elsewhere."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.clients.steps.epochs import Samples, logits


@dataclass(frozen=True)
class NPOEpochs(AlternatingEpochs):
    """Epochs in which clients go down −(2/β)·log σ(−β·log(p/p₀)) on what they forget, then down the loss of the rest.

    Attributes:
        beta: β.
    """

    beta: float

    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of the mean over samples, without l2."""
        before = _likelihoods(model, learned, samples)
        with torch.enable_grad():
            point = theta.detach().clone().requires_grad_(True)
            ratio = _likelihoods(model, point, samples) - before
            objective = torch.nn.functional.logsigmoid(-self.beta * ratio).mean() * (-2 / self.beta)
            (gradient,) = torch.autograd.grad(objective, point)
        return gradient


def _likelihoods(model: Model, theta: Tensor, samples: Samples) -> Tensor:
    """Compute log p of the labels [n] by one model [1, d]."""
    found = torch.log_softmax(logits(model, theta, samples.x)[0], dim=1)
    return found.gather(1, samples.y.unsqueeze(1)).squeeze(1)
