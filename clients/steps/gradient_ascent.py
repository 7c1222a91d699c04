"""Projected gradient ascent on a forget set, near what the other clients make of the model.

Halimi, Kadhe, Rawat and Baracaldo (2022), "Federated unlearning: how to erase a client in FL?", arXiv 2207.05521,
Algorithm 1: the client that deletes maximises its loss on what is to be forgotten in the ball

    ‖w − w_ref‖ ≤ δ    around    w_ref = (1/(N−1)) Σ_{i≠u} w_i,

the average of the other clients' models, by steps w ← Proj(w + η·g), beginning at w_ref.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from rewindnet.certificates import Mixing, Order
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.minibatch import Minibatch
from rewindnet.clients.training.orders import LEARNING_ORDERS
from rewindnet.clients.training.probe import Probe

#: Of the distance from the reference to a model that has learned nothing, the share that the ball has as its radius.
_SHARE = 1 / 3


@dataclass(frozen=True)
class GradientAscentRounds(CommunicationStep):
    """Repeat the last round of learning: clients send their models, and those that delete ascend near the average.

    On a graph the others are the neighbours that delete nothing, weighted as they are mixed: w_ref = Σ_{j≠u} W_uj·w_j /
    Σ_{j≠u} W_uj, the paper's where W = 11ᵀ/N. A client's model is what it sent in the last round where clients adapt
    before they combine, and what it ended with otherwise. A client that receives no other model takes its own.

    Attributes:
        order: the order of learning.
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

    needs_forget_set = True

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the names of the state before the last round, and of the first of all."""
        return (self.last, self.first)

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the weights with which a deleting node averages the models of neighbours that do not delete."""
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

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models [b, d] of those that forget nothing, which they have learned before."""
        if not LEARNING_ORDERS[self.order].adapts_first:
            return theta
        sent = LEARNING_ORDERS[self.order].message(block.uncounted(), block.recalled_checkpoints[0], round, None)
        for row, node in enumerate(block.nodes):
            if self.forget[node]:
                sent[row] = theta[row]
        return sent

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models [b, d] with those that the ascent leaves, at the clients that forget."""
        result = theta.clone()
        for row, node in enumerate(block.nodes):
            if self.forget[node]:
                start = block.recalled_checkpoints[1][row : row + 1]
                result[row] = self._ascended(block, node, mixed[row : row + 1], start)
        return result

    def _ascended(self, block: ClientBlock, node: int, reference: Tensor, start: Tensor) -> Tensor:
        """Compute where the ascent of one client ends [d]."""
        assert block.before_erasure is not None
        full, retained = (clients.only([node], reference.dtype) for clients in (block.before_erasure, block))
        radius = _SHARE * float((reference - start).norm()) if self.radius is None else self.radius
        theta = reference
        for _ in range(self.steps):
            gradient = forget_gradient(full, retained, theta)
            if self.clip is not None:
                gradient = clipped(gradient, self.clip)
            offset = clipped(torch.add(theta - reference, gradient, alpha=self.step_size), radius)
            theta = reference + offset
        return theta[0]


def forget_gradient(full: ClientBlock, retained: ClientBlock, theta: Tensor) -> Tensor:
    """Compute the gradient of the mean loss of what is erased, without the l2 of the objective.

    Of objectives f on n samples and f' on n − m of them, (n·∇f − (n−m)·∇f')/m is the gradient of the mean loss of the m
    others, and of (l2/2)·‖θ‖² once. It counts as the m gradients that it is made of.

    Args:
        full: a client before it erases.
        retained: the same after it.
        theta: [1, d].
    """
    n, remaining = int(full.samples[0]), int(retained.samples[0])
    whole = full.gradient(theta, Minibatch(gradients=np.array([n - remaining])))
    rest = retained.uncounted().gradient(theta)
    return (n * whole - remaining * rest) / (n - remaining) - full.model.l2 * theta
