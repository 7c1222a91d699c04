"""SFRon's epochs: weighted ascent on the forget set, at the parameters that matter to it, between steps on the rest."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.alternating import AlternatingEpochs, Turn
from rewindnet.clients.steps.epochs import Samples, samples_of
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.optimizers.pair import Phase
from rewindnet.clients.training.parallel import split

#: Entries of per-sample gradients that are computed at a time.
_TOGETHER = 1 << 22


@dataclass(frozen=True)
class SFRonEpochs(AlternatingEpochs):
    """Epochs of steps on retained data, before every few of which clients that forget go up the loss of some samples.

    An ascent goes up α_t·Σ_i (w_i/Σ_j w_j)·ℓ_i, w_i = 1/ℓ_i^λ with ℓ_i as it is, at the parameters whose empirical
    Fisher information by the forget set is large beside that by the retained data. α_t falls from α to 0 by a cosine.

    Attributes:
        alpha: α.
        exponent: λ.
        threshold: the least quotient of both Fisher informations at the learned model.
        retain_steps: steps on retained data after each on the forget set.
    """

    masked: ClassVar[Sequence[Phase]] = ("forget",)
    alpha: float
    exponent: float
    threshold: float
    retain_steps: int

    def mask(self, block: ClientBlock, node: int, learned: Tensor) -> tuple[Tensor, int]:
        """Return 1 [1, d] where the Fisher information by the forget set is at least the threshold times the other."""
        gone, kept = self.forget_set(block, node), samples_of(block, node)
        by_forget, by_retain = (mean_squares(block.model, learned, some) for some in (gone, kept))
        matters = by_forget >= self.threshold * by_retain
        return matters.to(learned)[None], len(gone.y) + len(kept.y)

    def turns(self, sets: Mapping[Phase, Samples], node: int, epoch: int, address: int) -> Iterator[Turn]:
        """Yield the steps of an epoch: one on the forget set, several on the rest, until the rest is through."""
        kept = list(sets["retain"].batches(self.batch, self.order(address, node, "retain")))
        gone = list(sets["forget"].batches(self.forget_batch, self.order(address, node, "forget")))
        turns, last = math.ceil(len(kept) / self.retain_steps) or len(gone), self._epochs_before(node, self.rounds.stop)
        before = epoch * turns
        for at in range(turns):
            if gone:
                decayed = self.alpha * (1 + math.cos(math.pi * (epoch + at / turns) / last)) / 2
                yield Turn("forget", gone[(before + at) % len(gone)], decayed)
            for some in kept[at * self.retain_steps : (at + 1) * self.retain_steps]:
                yield Turn("retain", some)

    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of the negative weighted mean loss, without l2."""
        x, y = samples.x[None], samples.y[None]
        losses = model.losses(theta, x, y).detach()
        # A loss that is 0 in this precision would have an infinite weight.
        weight = losses.clamp(min=torch.finfo(losses.dtype).tiny) ** -self.exponent
        gradient = model.gradient(theta, x, y, weight / weight.sum())
        return gradient.sub_(theta, alpha=model.l2).neg_()


def mean_squares(model: Model, theta: Tensor, samples: Samples) -> Tensor:
    """Compute the empirical Fisher information [d], the mean over samples of (∂ loss)², at θ [1, d]."""
    total = theta.new_zeros(theta.shape[1])
    for places in split(len(samples.y), max(1, _TOGETHER // len(total))):
        total += model.sample_gradients(theta[0], samples.x[places], samples.y[places]).square().sum(dim=0)
    return total / max(1, len(samples.y))
