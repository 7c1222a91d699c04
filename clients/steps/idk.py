"""IDK's epochs: a refusal is learned in answer to the forget set, the right labels elsewhere."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.clients.steps.epochs import Samples, mean_gradient
from rewindnet.clients.training.client_block import ClientBlock


@dataclass(frozen=True)
class IDKEpochs(AlternatingEpochs):
    """Epochs in which clients learn the last class for what they forget, then the right labels of the rest."""

    def forget_set(self, block: ClientBlock, node: int) -> Samples:
        """Return what a client has erased, every sample with the last class as its label."""
        gone = super().forget_set(block, node)
        return Samples(gone.x, torch.full_like(gone.y, max(2, block.model.outputs) - 1))

    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of the mean loss with this label, without l2."""
        return mean_gradient(model, theta, samples).sub_(theta, alpha=model.l2)
