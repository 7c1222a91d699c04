"""Ridge regression in closed form: the sums that determine it go up a tree, and what its root works out comes down.

The least squares of the targets, one for the class of a sample less 1/C for every class, with penalty λ:

    θ = B·(A + λn·I)⁻¹,   A = Σ xxᵀ,   B = Σ (1_y − 1/C)·xᵀ,   n samples

Hoerl and Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems".
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.bucket import Bucket
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe
from rewindnet.topologies.routing import Tree

#: How many numbers of their own sums all clients of a network compute at once.
_TOGETHER = 1 << 25


@dataclass(frozen=True)
class RidgeSums(CommunicationStep):
    """Rounds in which the sums of all clients come to the root of a tree, which then solves for θ.

    The sums are sent in parts of the length of a model. A node sends a part one round after its children have sent
    theirs, so all levels send at the same time, each another part. Clients compute a few parts of their own sums when
    the turn of the first comes, and keep those alone; the root keeps all parts of the totals. How many are computed at
    once depends on the network and the model, and neither on the transport nor on the data.

    A parent adds up what it receives in the order of the nodes, so every sum has the same bits wherever it is computed,
    and those that it would have, had the samples that are deleted never been there.

    Attributes:
        rounds: the addresses.
        parents: [N], to which each node sends; the root is its own parent.
        penalty: λ.
    """

    rounds: range
    parents: tuple[int, ...]
    penalty: float

    @property
    def resumable(self) -> bool:
        """Whether what clients keep between rounds is their state alone; it is not."""
        return False

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the matrix with a 1 for every node that sends a part, in the row of its parent."""
        depths, turns = np.array(Tree(self.parents).depths), self._turns(round)
        sending = np.flatnonzero((depths > 0) & (turns >= 0) & (turns < self._parts))
        N = len(self.parents)
        return csr_array((np.ones(len(sending)), (np.array(self.parents)[sending], sending)), shape=(N, N))

    def begin(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the part [b, d] of their sums that the nodes of the lowest level send first, 0 at the others."""
        block.count(np.asarray(block.samples))
        return self._own_parts(block, self._turns(self.rounds.start))

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the sums [b, d] that nodes send in the next round; after the last one θ [b, d], at the root alone."""
        turns = self._turns(round + 1)
        sums = mixed.add_(self._own_parts(block, turns))
        roots = [(row, node) for row, node in enumerate(block.nodes) if self.parents[node] == node]
        for row, node in roots:
            if turns[node] >= 0:
                block.memory[f"total {turns[node]}"] = sums[row].clone()
        if round < self.rounds.stop - 1:
            return sums
        solved = torch.zeros_like(sums)
        for row, _ in roots:
            totals = torch.cat([block.memory.pop(f"total {part}") for part in range(self._parts)])
            solved[row] = solution(block, totals, self.penalty)
        return solved

    @property
    def _height(self) -> int:
        return max(1, *Tree(self.parents).depths)

    @property
    def _parts(self) -> int:
        return len(self.rounds) - self._height + 1

    def _turns(self, round: int) -> NDArray[np.int64]:
        """Return which part [N] every node has complete before a round, and sends in it; numbers below 0 are none."""
        return round - self.rounds.start - self._height + np.array(Tree(self.parents).depths)

    def _own_parts(self, block: ClientBlock, turns: NDArray[np.int64]) -> Tensor:
        """Return the parts [b, d] of the clients' own sums that have these numbers [N]; 0 for a number that is none."""
        model = block.model
        assert isinstance(model, Multinomial)
        d, out = model.parameters, torch.zeros_like(block.blank())
        together = max(1, _TOGETHER // (len(self.parents) * d))
        for bucket in block.buckets:
            for at, row in enumerate(bucket.rows.tolist()):
                turn, name = int(turns[block.nodes[row]]), f"own {block.nodes[row]}"
                if not 0 <= turn < self._parts:
                    continue
                first = turn - turn % together
                if turn == first:
                    computed = range(first, min(first + together, self._parts))
                    block.memory[name] = sums_of(*held(bucket, at), model.outputs, computed)
                out[row] = block.memory[name][(turn - first) * d : (turn - first + 1) * d]
                if turn in (first + together - 1, self._parts - 1):
                    del block.memory[name]
        return out


def parts(inputs: int, outputs: int) -> int:
    """Return how many parts of the length of a model the sums have.

    Args:
        inputs: q.
        outputs: C.
    """
    return -(-(1 + _before(inputs, inputs, outputs)) // (inputs * outputs))


def _before(row: int, inputs: int, outputs: int) -> int:
    """Return how many numbers of the sums come before a row of (A, Bᵀ): each row counts from the diagonal on."""
    return row * (inputs + outputs) - row * (row - 1) // 2


def held(bucket: Bucket, at: int) -> tuple[Tensor, Tensor]:
    """Return the designs [n, q] and targets [n] that a client of a bucket holds, neither padding nor erased.

    Args:
        bucket: the bucket.
        at: which of its clients.
    """
    samples = bucket.weight[at] > 0
    return bucket.x[at][samples], bucket.y[at][samples]


def sums_of(x: Tensor, y: Tensor, classes: int, parts: range) -> Tensor:
    """Return some parts [k·d] of the sums over samples: the rows of (A, Bᵀ), each from the diagonal on, n, and zeros.

    Args:
        x: [n, q], the designs.
        y: [n], the targets.
        classes: C.
        parts: which parts, one after another.
    """
    inputs = x.shape[1]
    length, end = inputs * classes, _before(inputs, inputs, classes)
    low, high = min(parts.start * length, end), min(parts.stop * length, end)
    starts = np.array([_before(row, inputs, classes) for row in range(inputs + 1)])
    first, stop = int(np.searchsorted(starts, low, "right")) - 1, int(np.searchsorted(starts, high, "left"))
    targets = torch.nn.functional.one_hot(y.long(), classes).to(x.dtype) - 1 / classes
    columns = torch.cat([x[:, first:], targets], dim=1)
    rows = columns[:, : max(0, stop - first)].T @ columns
    out, skipped = x.new_zeros(len(parts) * length), int(starts[first])
    out[: high - low] = rows[torch.ones_like(rows).triu() > 0][low - skipped : high - skipped]
    if parts.start * length <= end < parts.stop * length:
        out[high - low] = len(x)
    return out


def solution(block: ClientBlock, sums: Tensor, penalty: float) -> Tensor:
    """Return θ [d] from the sums [k·d] of all clients.

    Args:
        block: clients of the same model.
        sums: the rows of (A, Bᵀ), each from the diagonal on, n, and zeros.
        penalty: λ.
    """
    model = block.model
    assert isinstance(model, Multinomial)
    q, end = model.inputs, _before(model.inputs, model.inputs, model.outputs)
    rows = sums.new_zeros(q, q + model.outputs)
    rows[torch.ones_like(rows).triu() > 0] = sums[:end]
    A, right = rows[:, :q], rows[:, q:]
    A = A + A.triu(1).T + penalty * sums[end].clamp(min=1.0) * torch.eye(q, dtype=A.dtype, device=A.device)
    theta: Tensor = torch.linalg.solve(A, right).T.flatten()
    return theta
