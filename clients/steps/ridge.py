"""Ridge regression in closed form: the sums that determine it go up a tree, and what its root works out comes down.

The least squares of the targets, one for the class of a sample less 1/C for every class, with penalty λ:

    θ = B·(A + λn·I)⁻¹,   A = Σ xxᵀ,   B = Σ (1_y − 1/C)·xᵀ,   n samples

Hoerl and Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems".
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe
from rewindnet.topologies.routing import Tree


@dataclass(frozen=True)
class RidgeSums(CommunicationStep):
    """Rounds in which the sums of all clients come to the root of a tree, which then solves for θ.

    The sums are sent in parts of the length of a model, one part after the other, and every part level by level. A
    parent adds up what it receives in the order of the nodes, so every sum has the same bits wherever it is computed,
    and those that it would have, had the samples that are deleted never been there.

    Attributes:
        rounds: the addresses.
        parents: [N], to which each node sends; the root is its own parent.
        penalty: λ.
    """

    rounds: range
    parents: tuple[int, ...]
    penalty: float

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the matrix with a 1 for every node of the level that sends, in the row of its parent."""
        depths, parents = np.array(Tree(self.parents).depths), np.array(self.parents)
        sending = np.flatnonzero(depths == self._place(round)[1])
        N = len(parents)
        return csr_array((np.ones(len(sending)), (parents[sending], sending)), shape=(N, N))

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the part [b, d] of the sums that goes up in this round."""
        part = self._place(round)[0] * block.model.parameters
        sums = own_sums(block) if round == self.rounds.start else theta
        return sums[:, part : part + block.model.parameters]

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the sums [b, k·d] with what was received; after the last round θ [b, d], at the root alone."""
        d, part = block.model.parameters, self._place(round)[0]
        sums = theta
        if round == self.rounds.start:
            sums = own_sums(block)
            block.count(np.asarray(block.samples))
        sums[:, part * d : (part + 1) * d] += mixed
        if round < self.rounds.stop - 1:
            return sums
        solved = sums.new_zeros(len(sums), d)
        for row, node in enumerate(block.nodes):
            if self.parents[node] == node:
                solved[row] = solution(block, sums[row], self.penalty)
        return solved

    def _place(self, round: int) -> tuple[int, int]:
        """Return which part goes up in a round, and from which level."""
        height = max(1, *Tree(self.parents).depths)
        part, below = divmod(round - self.rounds.start, height)
        return part, height - below


def parts(inputs: int, outputs: int) -> int:
    """Return how many parts of the length of a model the sums have.

    Args:
        inputs: q.
        outputs: C.
    """
    return -(-(1 + inputs * (inputs + 1) // 2 + inputs * outputs) // (inputs * outputs))


def own_sums(block: ClientBlock) -> Tensor:
    """Return n, the upper half of A, and B of every client, [b, k·d], each as if the client were alone."""
    model = block.model
    assert isinstance(model, Multinomial)
    width = parts(model.inputs, model.outputs) * model.parameters
    out = block.blank().new_zeros(len(block.nodes), width)
    upper = torch.triu_indices(model.inputs, model.inputs)
    for bucket in block.buckets:
        for at, row in enumerate(bucket.rows.tolist()):
            held = bucket.weight[at] > 0
            x, y = bucket.x[at][held], bucket.y[at][held]
            targets = torch.nn.functional.one_hot(y.long(), model.outputs).to(x.dtype) - 1 / model.outputs
            A, B = x.T @ x, targets.T @ x
            sums = torch.cat([x.new_tensor([len(x)]), A[upper[0], upper[1]], B.flatten()])
            out[row, : len(sums)] = sums
    return out


def solution(block: ClientBlock, sums: Tensor, penalty: float) -> Tensor:
    """Return θ [d] from the sums [k·d] of all clients.

    Args:
        block: clients of the same model.
        sums: n, the upper half of A, and B.
        penalty: λ.
    """
    model = block.model
    assert isinstance(model, Multinomial)
    q, half = model.inputs, model.inputs * (model.inputs + 1) // 2
    upper = torch.triu_indices(q, q)
    A = sums.new_zeros(q, q)
    A[upper[0], upper[1]] = A[upper[1], upper[0]] = sums[1 : 1 + half]
    B = sums[1 + half : 1 + half + model.parameters].view(model.outputs, q)
    A = A + penalty * sums[0].clamp(min=1.0) * torch.eye(q, dtype=A.dtype, device=A.device)
    theta: Tensor = torch.linalg.solve(A, B.T).T.flatten()
    return theta
