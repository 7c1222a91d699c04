"""The least noise that absorbs the disturbances of a token by its next observed hop.

The conditions on the shifts a_t are derived in `mechanisms.walk_dp`: at hop t a disturbance b_t is added to the
distance z of the two runs, z ← γ·z + b_t − a_t with 0 ≤ a_t ≤ γ·z + b_t, and z must be 0 at the next observed hop. The
view is then μ-GDP with μ² = Σ_t (a_t/σ)².

**The best a.** Between two observed hops, let â_j = a_j/γ^j and b̂_j = b_j/γ^j. The sums Σ_{i≤j} â_i must be at most
Σ_{i≤j} b̂_i, with equality at the end, and Σ_j (γ^j·â_j)² is to be minimised. With Σ_{i≤j} γ^{−2i} as the time axis,
the solution is the shortest path below a staircase: the slopes of its greatest convex minorant, which pooling finds.
One visit with ℓ hops to the next observed hop costs Δ²/(σ²·Σ_{j<ℓ} γ^{−2j}). For γ = 1 (convex losses, η ≤ 2/L, nothing
clipped) this is Δ²/(ℓ·σ²): the amplification by iteration of Feldman, Mironov, Talwar and Thakurta (2018). For any γ it
never exceeds the local bound, because a = b is one of the choices.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np

from rewindnet.certificates.network import Vector


class Piece(NamedTuple):
    """A straight piece of the minorant.

    j counts from the first hop of the piece for γ ≥ 1 and from its last otherwise, so that no sum overflows, and none
    underflows to 0.

    Attributes:
        hops: the number of its hops.
        time: Σ γ^(−2j) over its hops.
        amount: Σ b_j·γ^(−j) over its hops.
    """

    hops: int
    time: float
    amount: float


def absorption_norm(disturbance: Vector, growth: float, charge: float = 0.0) -> float:
    """Return √(Σ_t a_t²) of the best shifts that absorb these disturbances by the last hop; divided by σ it is μ.

    Args:
        disturbance: b_t ≥ 0 [T] of every hop.
        growth: γ > 0.
        charge: what is added at every hop at which the tokens already differ.
    """
    hops = np.flatnonzero(disturbance)
    if not hops.size:
        return 0.0
    b = disturbance[hops[0] :].astype(np.float64)
    b[1:] += charge
    pieces: list[Piece] = []
    for amount in b.tolist():
        piece = Piece(1, 1.0, amount)
        while pieces and _not_increasing(pieces[-1], piece, growth):
            piece = _pooled(pieces.pop(), piece, growth)
        pieces.append(piece)
    return sqrt(sum(piece.amount * (piece.amount / piece.time) for piece in pieces))


def _not_increasing(first: Piece, second: Piece, growth: float) -> bool:
    """Return whether the slope does not increase from one piece to the next."""
    if growth >= 1:
        return first.amount * second.time * growth**-first.hops >= second.amount * first.time
    return first.amount * second.time >= second.amount * first.time * growth**second.hops


def _pooled(first: Piece, second: Piece, growth: float) -> Piece:
    """Return the union of two adjacent pieces."""
    hops = first.hops + second.hops
    if growth >= 1:
        scale = growth**-first.hops
        return Piece(hops, first.time + second.time * scale**2, first.amount + second.amount * scale)
    scale = growth**second.hops
    return Piece(hops, first.time * scale**2 + second.time, first.amount * scale + second.amount)
