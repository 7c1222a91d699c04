"""Sums in which few additions follow each other, so that little is lost to rounding."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING

from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


#: Scores are summed in blocks of this many terms, and the blocks in pairs.
_BLOCK = 64


def additions_of_a_score(inputs: int) -> int:
    """Return how many roundings follow each other, at most, in a score of so many terms."""
    return _BLOCK + ceil(log2(max(2, ceil(inputs / _BLOCK)))) + 4


def scores_by_class(theta: Tensor, x: Tensor) -> Tensor:
    """Compute θ·xᵀ [b, C, n] of θ [b, C, q] and x [b, n, q]."""
    blocks = [
        torch.bmm(theta[:, :, first : first + _BLOCK], x[:, :, first : first + _BLOCK].transpose(1, 2))
        for first in range(0, x.shape[2], _BLOCK)
    ]
    while len(blocks) > 1:
        paired = [left.add_(right) for left, right in zip(blocks[::2], blocks[1::2], strict=False)]
        blocks = [*paired, *blocks[2 * len(paired) :]]
    return blocks[0]


def norms(rows: Tensor) -> Tensor:
    """Return the norms [b] of rows [b, d], summed in pairs."""
    terms = rows.square()
    while terms.shape[1] > 1:
        half, odd = terms.shape[1] // 2, terms.shape[1] % 2
        folded = terms[:, :half] + terms[:, half : 2 * half]
        terms = torch.cat([folded, terms[:, -1:]], dim=1) if odd else folded
    return terms[:, 0].sqrt()
