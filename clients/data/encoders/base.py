"""Features: what a model reads, the bound on ‖x‖ that certificates may rest on, and how rows are brought within it.

A map that is fixed before any client's data is seen, and ends by dividing each row by its norm, keeps the
radius *proven*: no row of any client, present or deleted, can have a larger norm.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Floats, chunks
from rewindnet.errors import UserError

#: How many images are computed at once.
IMAGES_AT_ONCE = 250
# Rounding to float32 can lengthen a row by a factor 1 + 2⁻²⁴ at most; four times as much is taken off.
_SHRINK = 1.0 - 2.0**-22
# Rows shorter than this count as zero: their squares would leave the range where float64 is accurate.
_ZERO = 1e-100


class FeatureError(UserError):
    """Features that cannot be computed, in a sentence that says why."""


Encoder = TypeVar("Encoder", bound=Callable[..., Any])


def costly(encoder: Encoder) -> Encoder:
    """Mark an encoder as one that takes longer than reading its features from disk."""
    encoder.costly = True  # type: ignore[attr-defined]
    return encoder


@dataclass(frozen=True, eq=False)
class Features:
    """What a model is given.

    Attributes:
        x: training features, float32 [n, p].
        test_x: test features, float32 [m, p].
        radius: a bound on the Euclidean norm of every training row.
        provenance: "proven" if the radius holds whatever the data, "enforced" if rows were clipped to it,
            "estimated" if it was read off these data.
        shape: the shape of one example before flattening; its product is p.
        origin: what the map was made from, in a sentence, if it was not made from the seed and its settings alone.
        weights_sha256: the sha256 of the weights in the map, if it has an origin.

    Raises:
        FeatureError: if a training row is longer than the radius, on which every certificate would rest.
    """

    x: Floats
    test_x: Floats
    radius: float
    provenance: Literal["proven", "enforced", "estimated"]
    shape: tuple[int, ...]
    origin: str = ""
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        """Refuse a radius that does not bound the norms."""
        largest = longest(self.x)
        if not largest <= self.radius:
            raise FeatureError(
                f"a row of the features has the norm {largest:.6g}, and they say that none is longer than "
                f"{self.radius:.6g} ({self.provenance}); certificates would not hold for such features"
            )


def flat(part: Floats) -> Floats:
    """Return the rows as [n, p], for no rows too."""
    return part.reshape(len(part), math.prod(part.shape[1:]))


def clipped(x: Floats, radius: float) -> Floats:
    """Return the rows of x, float32 [n, p], with longer ones scaled down to the norm `radius`."""
    out = np.empty_like(x)
    for rows in chunks(len(x)):
        norms = _norms(x[rows].astype(np.float64))
        scale = np.divide(radius * _SHRINK, norms, out=np.ones_like(norms), where=norms > radius)
        out[rows] = x[rows] * scale[:, None]
    return out


def normalized(x: Floats, center: NDArray[np.float64] | float) -> Floats:
    """Return the rows of x, float32 [n, p], minus the centre (a number or [p]) and divided by their norms."""
    out = np.empty(x.shape, dtype=np.float32)
    for rows in chunks(len(x)):
        block = x[rows].astype(np.float64) - center
        norms = _norms(block)
        scale = np.divide(_SHRINK, norms, out=np.zeros_like(norms), where=norms > _ZERO)
        np.multiply(block, scale[:, None], out=out[rows], casting="same_kind")
    return out


def longest(x: Floats) -> float:
    """Return the largest norm of a row of x, float32 [n, p]; 0 for no rows."""
    return max((float(_norms(x[rows].astype(np.float64)).max()) for rows in chunks(len(x))), default=0.0)


def _norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return norms
