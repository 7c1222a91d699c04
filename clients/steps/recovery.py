"""The step of recovery: rounds of learning are undone, the last of them first."""

from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing, Order
from rewindnet.certificates.sensitivity.recovery import Inverses
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.minibatch import Minibatch
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class Recover(CommunicationStep):
    """Rounds of learning are undone: each client inverts its local steps, and all invert the mixing.

    A local step θ⁺ = θ − η∇f(θ) is solved for θ (Mu and Klabjan 2025, arXiv 2409.09778, Algorithm 3, who iterate
    θ ← θ⁺ + η∇f(θ)), by the Chebyshev iteration, which takes fewer gradients. The inverse of a mixing matrix has no
    zeros to speak of, so every node needs the message of every other: a round takes N(N − 1) messages.

    Attributes:
        order: of adapting and combining in learning; not consensus-plus-gradient.
        rounds: the rounds that are undone, decreasing.
        lowest: a lower bound on the eigenvalues of I − ηH.
        highest: an upper bound on them.
        gradients: how many gradients a client takes for each local step.
    """

    order: Order
    rounds: range
    lowest: float
    highest: float
    gradients: int

    @cached_property
    def _inverses(self) -> Inverses:
        return Inverses()

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return W_t⁻¹ [N, N]; a weight may be negative."""
        return self._inverses(mixing.matrix(round), round).matrix

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ after the round, or before its local steps if those come last."""
        return theta if self.order == "adapt-then-combine" else self._ascended(block, theta, round)

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ before the round [b, d]."""
        return self._ascended(block, mixed, round) if self.order == "adapt-then-combine" else mixed

    def _ascended(self, block: ClientBlock, theta: Tensor, round: int) -> Tensor:
        """Return the points [b, d] from which the local steps of a round lead to θ."""
        for minibatch in reversed(block.minibatches(round)):
            theta = self._solved(block, theta, minibatch, block.step_size_at(round))
        return theta

    def _solved(self, block: ClientBlock, end: Tensor, minibatch: Minibatch, eta: float) -> Tensor:
        """Return θ [b, d] with θ − η∇f(θ) = end, by the Chebyshev iteration (Saad 2003, Algorithm 12.1)."""
        middle, half = (self.highest + self.lowest) / 2, (self.highest - self.lowest) / 2
        theta, direction, length = end, torch.zeros_like(end), 1 / middle
        for step in range(self.gradients):
            residual = end - theta + eta * block.gradient(theta, minibatch)
            kept = (half * length) ** 2 / (2 if step == 1 else 4) if step else 0.0
            length = 1 / (middle - kept / length)
            direction = residual + kept * direction
            theta = theta + length * direction
        return theta
