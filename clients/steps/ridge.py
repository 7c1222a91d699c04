"""Ridge regression in closed form: the sums that determine it go up a tree, and what its root works out comes down.

The least squares of the targets, one for the class of a sample less 1/C for every class, with penalty λ:

    θ = B·(A + λn·I)⁻¹,   A = Σ xxᵀ,   B = Σ (1_y − 1/C)·xᵀ,   n samples

Hoerl and Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
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

    The sums are sent in parts of the length of a model. A node sends a part one round after its children have sent
    theirs, so all levels send at the same time, each another part. Clients compute a part of their own sums when its
    turn comes: none holds more than one, but the root, which keeps all parts of the totals beside its state.

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
        """Whether what clients keep between rounds is their state alone: the root keeps the totals, too."""
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
        return own_sums(block, self._own_turns(block, self.rounds.start))

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the sums [b, d] that nodes send in the next round; after the last one θ [b, d], at the root alone."""
        turns = self._own_turns(block, round + 1)
        sums = mixed.add_(own_sums(block, turns))
        roots = [row for row, node in enumerate(block.nodes) if self.parents[node] == node]
        for row in roots:
            if turns[row] >= 0:
                block.memory[_name(turns[row])] = sums[row].clone()
        if round < self.rounds.stop - 1:
            return sums
        solved = torch.zeros_like(sums)
        for row in roots:
            totals = torch.cat([block.memory.pop(_name(part)) for part in range(self._parts)])
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

    def _own_turns(self, block: ClientBlock, round: int) -> list[int]:
        turns = self._turns(round)
        return [int(turns[node]) for node in block.nodes]


def _name(part: int) -> str:
    return f"ridge-{part}"


def parts(inputs: int, outputs: int) -> int:
    """Return how many parts of the length of a model the sums have.

    Args:
        inputs: q.
        outputs: C.
    """
    return -(-(1 + _before(inputs, inputs, outputs)) // (inputs * outputs))


def _before(row: int, inputs: int, outputs: int) -> int:
    """Return how many numbers of the sums come before a row of A and Bᵀ: each has those of A from its diagonal on."""
    return row * (inputs + outputs) - row * (row - 1) // 2


@dataclass(frozen=True)
class _Part:
    """Where a part of the sums is in some rows of (A, Bᵀ), of which the columns before the first row are left out.

    Attributes:
        first: the first of these rows.
        rows: how many.
        places: the numbers of the part among those of the rows.
        last: whether the part ends with the number of samples.
    """

    first: int
    rows: int
    places: Tensor
    last: bool


@lru_cache(maxsize=64)
def _part(part: int, inputs: int, outputs: int) -> _Part:
    """Return where a part is: the sums are the rows of (A, Bᵀ), each from the diagonal on, and then n."""
    end, length = _before(inputs, inputs, outputs), inputs * outputs
    low, high = min(part * length, end), min((part + 1) * length, end)
    starts = np.array([_before(row, inputs, outputs) for row in range(inputs + 1)])
    first, stop = int(np.searchsorted(starts, low, "right")) - 1, int(np.searchsorted(starts, high, "left"))
    rows, width = max(0, stop - first), inputs - first + outputs
    below = torch.ones(rows, width).triu().flatten().nonzero().flatten()
    places = below[low - int(starts[first]) : high - int(starts[first])]
    return _Part(first, rows, places, (part + 1) * length > end >= part * length)


def own_sums(block: ClientBlock, turns: Sequence[int]) -> Tensor:
    """Return a part of the sums of every client, [b, d], each as if the client were alone.

    Args:
        block: the clients.
        turns: [b], which part; 0 is returned for a number that is none.
    """
    model = block.model
    assert isinstance(model, Multinomial)
    out = torch.zeros_like(block.blank())
    last = parts(model.inputs, model.outputs)
    for bucket in block.buckets:
        for at, row in enumerate(bucket.rows.tolist()):
            if not 0 <= turns[row] < last:
                continue
            held = bucket.weight[at] > 0
            x, y = bucket.x[at][held], bucket.y[at][held]
            _sum_into(out[row], _part(turns[row], model.inputs, model.outputs), x, y, model.outputs)
    return out


def _sum_into(out: Tensor, part: _Part, x: Tensor, y: Tensor, classes: int) -> None:
    """Write a part of the sums over samples x [n, q], y [n] to the beginning of a vector [d] of zeros."""
    targets = torch.nn.functional.one_hot(y.long(), classes).to(x.dtype) - 1 / classes
    columns = torch.cat([x[:, part.first :], targets], dim=1)
    numbers = (columns[:, : part.rows].T @ columns).flatten()[part.places.to(x.device)]
    out[: len(numbers)] = numbers
    if part.last:
        out[len(numbers)] = len(x)


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
