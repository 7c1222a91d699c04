"""Clipping: vectors that are too long, scaled down to a norm."""

from torch import Tensor


def clipped(rows: Tensor, most: float) -> Tensor:
    """Every row of a tensor [b, d] scaled down to a norm of at most this much, in place: the nearest point of the ball.

    Args:
        rows: [b, d], one for each client.
        most: the norm.

    Returns:
        the same tensor.
    """
    # Row by row, so that a client's bits do not depend on who else is in its block.
    for row in rows:
        norm = float(row.norm())
        if norm > most:
            row.mul_(most / norm)
    return rows
