"""Projected gradient ascent on a forget set, near what the other clients make of the model.

Halimi, Kadhe, Rawat and Baracaldo (2022), "Federated unlearning: how to erase a client in FL?", arXiv 2207.05521,
Algorithm 1: the client that deletes maximises its loss on what is to be forgotten in the ball

    ‖w − w_ref‖ ≤ δ    around    w_ref = (1/(N−1)) Σ_{i≠u} w_i,

the average of the other clients' models, by steps w ← Proj(w + η·g), beginning at w_ref.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from rewindnet.certificates import Mixing, Order
from rewindnet.clients.steps.base import Work
from rewindnet.clients.training.client_block import ClientBlock, Probe
from rewindnet.clients.training.orders import LEARNING_ORDERS

#: Of the distance from the reference to a model that has learned nothing, the share that the ball has as its radius.
_SHARE = 1 / 3


@dataclass(frozen=True)
class GradientAscentRounds:
    """The last round of learning again: the others send their models, and who deletes ascends near their average.

    On a graph the others are the neighbours that delete nothing, weighted as they are mixed: w_ref = Σ_{j≠u} W_uj·w_j /
    Σ_{j≠u} W_uj, the paper's where W = 11ᵀ/N. A client's model is what it sent in the last round where clients adapt
    before they combine, and what it ended with otherwise. Who hears nobody takes its own.

    Attributes:
        order: of the learning rounds.
        rounds: the address of the last round of learning.
        forget: [N], how many samples each node is to forget.
        steps: of ascent, each on all of these samples.
        step_size: of the ascent.
        radius: of the ball; None: a third of the way from w_ref to the model that learning began with.
        clip: the largest norm of a gradient; None: any.
        last: the name of the state before that round.
        first: of the state that learning began with.
    """

    order: Order
    rounds: range
    forget: tuple[int, ...]
    steps: int
    step_size: float
    radius: float | None
    clip: float | None
    last: str
    first: str

    needs_forget_set: ClassVar[bool] = True

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """The state before the last round, and the first of all."""
        return (self.last, self.first)

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Who deletes hears its neighbours that do not, and the others nobody."""
        N, weights = mixing.nodes, mixing.matrix(round).tocoo()
        forgets = np.array(self.forget) > 0
        heard = forgets[weights.row] & ~forgets[weights.col] & (weights.data > 0)
        row, column, weight = weights.row[heard], weights.col[heard], weights.data[heard]
        total = np.zeros(N)
        np.add.at(total, row, weight)
        alone = np.flatnonzero(total == 0)
        entries = (
            np.append(weight / total[row], np.ones(len(alone))),
            (np.append(row, alone), np.append(column, alone)),
        )
        return csr_array(coo_array(entries, shape=(N, N)))

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """The gradients of the forget set in every step; what the others send they have learned before."""
        return np.zeros_like(gradients), self.steps * np.array(self.forget, dtype=gradients.dtype)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """The models of those that forget nothing."""
        if not LEARNING_ORDERS[self.order].adapts_first:
            return theta
        sent = LEARNING_ORDERS[self.order].message(block, block.recalled_checkpoints[0], round, None)
        for row, node in enumerate(block.nodes):
            if self.forget[node]:
                sent[row] = theta[row]
        return sent

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Where the ascent ends, for those that forget."""
        found = theta.clone()
        for row, node in enumerate(block.nodes):
            if self.forget[node]:
                found[row] = self._ascended(
                    block, node, mixed[row : row + 1], block.recalled_checkpoints[1][row : row + 1]
                )
        return found

    def _ascended(self, block: ClientBlock, node: int, reference: Tensor, start: Tensor) -> Tensor:
        """[d], by a client on its own."""
        assert block.before_erasure is not None
        whole, kept = (one.only([node], reference.dtype) for one in (block.before_erasure, block))
        radius = _SHARE * float((reference - start).norm()) if self.radius is None else self.radius
        theta = reference
        for _ in range(self.steps):
            gradient = forget_gradient(whole, kept, theta)
            norm = float(gradient.norm())
            if self.clip is not None and norm > self.clip:
                gradient *= self.clip / norm
            offset = torch.add(theta - reference, gradient, alpha=self.step_size)
            distance = float(offset.norm())
            if distance > radius:
                offset *= radius / distance
            theta = reference + offset
        return theta[0]


def forget_gradient(whole: ClientBlock, kept: ClientBlock, theta: Tensor) -> Tensor:
    """The gradient of the mean loss of what is erased, without the l2 of the objective, which nobody is to forget.

    Of objectives f on n samples and f' on n − m of them, (n·∇f − (n−m)·∇f')/m is the gradient of the mean loss of the m
    others, and of (l2/2)·‖θ‖² once.

    Args:
        whole: a client before it erases.
        kept: the same after it.
        theta: [1, d].
    """
    n, departed = int(whole.samples[0]), int(kept.samples[0])
    both = n * whole.gradient(theta) - departed * kept.gradient(theta)
    return both / (n - departed) - whole.model.l2 * theta
