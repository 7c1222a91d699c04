"""The rounds of learning made linear: how the models would differ without the forget set, to first order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rewindnet.certificates import Order
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.curvature import product
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class HessianFreeRounds(CommunicationStep):
    """D⁺ = W(D − ηH'D + η(∇F − ∇F')) at the learned models θ_t, from D = 0; in the last round θ_T + D.

    H' and F' are of the retained data. In the order consensus-plus-gradient a round is WD − ηH'D + η(∇F − ∇F').

    Attributes:
        rounds: those of learning.
        checkpoints: the names of the models before each of them, and of the last.
        order: of learning.
    """

    rounds: range
    checkpoints: tuple[str, ...]
    order: Order

    needs_forget_set = True

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the name of the models before the round, and, in the last one, of those that were learned."""
        at = self.rounds.index(round)
        return self.checkpoints[at:] if round == self.rounds[-1] else self.checkpoints[at : at + 1]

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the clients send [b, d]: how it differs from what they sent in learning."""
        deviation = self._deviation(theta, round)
        return self._stepped(block, deviation, round) if self.order == "adapt-then-combine" else deviation

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the deviation [b, d]; in the last round the learned models with it."""
        if self.order == "consensus-plus-gradient":
            deviation = self._deviation(theta, round)
            mixed = mixed + self._stepped(block, deviation, round) - deviation
        return mixed + block.recalled_checkpoints[-1] if round == self.rounds[-1] else mixed

    def _deviation(self, theta: Tensor, round: int) -> Tensor:
        """Return what the clients keep, which is nothing before the first round."""
        return torch.zeros_like(theta) if round == self.rounds.start else theta

    def _stepped(self, block: ClientBlock, deviation: Tensor, round: int) -> Tensor:
        """Return D − ηH'D + η(∇F − ∇F') for the clients that take a step, D for the others."""
        learned, eta = block.recalled_checkpoints[0], block.step_size_at(round)
        change = product(block, learned, deviation, "hessian").neg_().add_(_lost(block, learned)).mul_(eta)
        participating = block.local_training.participating(round)
        if participating is not None:
            acts = torch.from_numpy(np.asarray(participating)[list(block.nodes)]).to(change.device)
            change[~acts] = 0.0
        return change.add_(deviation)


def _lost(block: ClientBlock, theta: Tensor) -> Tensor:
    """Return ∇F − ∇F' [b, d]: what the gradients of the clients that have erased something lose with it."""
    before, lost = block.before_erasure, torch.zeros_like(theta)
    assert before is not None
    for row, node in enumerate(block.nodes):
        if before.samples[row] != block.samples[row]:
            full, retained = (clients.only((node,), theta.dtype) for clients in (before, block))
            lost[row] = (full.gradient(theta[row : row + 1]) - retained.gradient(theta[row : row + 1]))[0]
    return lost
