"""Clipping: vectors that are too long are scaled down to a norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def clipped(rows: Tensor, most: float) -> Tensor:
    """Scale every row of a tensor [b, d] down to a norm of at most this much, in place: the nearest point of the ball.

    Args:
        rows: [b, d], one for each client.
        most: the norm.

    Returns:
        the same tensor.
    """
    # Row by row, so that a client's bits do not depend on which other clients are in its block.
    for row in rows:
        norm = float(row.norm())
        if norm > most:
            row.mul_(most / norm)
    return rows


def clipped_vector(vector: Tensor, most: float) -> Tensor:
    """Return a vector [d] scaled down to a norm of at most this much; the input is left as it is."""
    return clipped(vector[None].clone(), most)[0]
