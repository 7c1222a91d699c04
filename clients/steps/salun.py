"""SalUn's epochs: random labels on the forget set, the true ones elsewhere, at the parameters that matter."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.clients.steps.epochs import Samples, mean_gradient
from rewindnet.clients.training.client_block import ClientBlock


@dataclass(frozen=True)
class SalUnEpochs(AlternatingEpochs):
    """Epochs in which clients learn wrong labels of what they forget, then the right ones of the rest.

    Attributes:
        share: of the parameters, those with the largest gradient of the forget set's loss at the learned model, which
            alone a client that forgets changes.
    """

    share: float

    def forget_set(self, block: ClientBlock, node: int) -> Samples:
        """Return what a client has erased, each sample with one of the other labels, drawn once."""
        gone = super().forget_set(block, node)
        labels = max(2, block.model.outputs)
        drawn = self.order(self.rounds.start, node, "labels").integers(1, labels, len(gone.y))
        return Samples(gone.x, (gone.y + torch.from_numpy(drawn).to(gone.y)) % labels)

    def mask(self, block: ClientBlock, node: int, learned: Tensor) -> tuple[Tensor, int]:
        """Return 1 [1, d] where |gradient of the forget set's loss| at the learned model is among the largest."""
        gone, model = super().forget_set(block, node), block.model
        size = mean_gradient(model, learned, gone).sub_(learned, alpha=model.l2).abs_()
        kept = max(1, round(self.share * size.shape[1]))
        least = size.kthvalue(size.shape[1] + 1 - kept, dim=1, keepdim=True).values
        return (size >= least).to(size), len(gone.y)

    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of the mean loss with these labels, without l2."""
        return mean_gradient(model, theta, samples).sub_(theta, alpha=model.l2)
