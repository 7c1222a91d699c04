"""NegGrad's epochs: up the loss on the forget set, down it on the retained data."""

from dataclasses import dataclass

from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.clients.steps.epochs import Samples, mean_gradient


@dataclass(frozen=True)
class NegGradEpochs(AlternatingEpochs):
    """Epochs in which clients go up the mean loss of what they forget, then down that of the rest."""

    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of the negative mean loss, without l2."""
        return mean_gradient(model, theta, samples).sub_(theta, alpha=model.l2).neg_()
