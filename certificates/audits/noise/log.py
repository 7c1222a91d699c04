"""Logs of noise: what a node measures of the noise that it adds.

Equation (1) and the fingerprints are those of `rewindnet.certificates.audits.noise`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.network import Vector

Size = TypeVar("Size", float, Vector)

#: The largest number of entries of a fingerprint.
_PRINT = 8
#: The columns of a log before the fingerprint: round, ‖s − c‖, a of (1), ⟨s − c, last⟩/‖last‖ (NaN for the first).
COLUMNS = 4
#: The seed of the public signs.
_SIGNS = 20_250_607


class NoiseLog(NamedTuple):
    """What a node has measured of the noise that it added.

    Attributes:
        rows: [E, 4 + k], for each addition its round, ‖s − c‖, the allowance (1), the inner product of s − c with the
            direction of the node's vector before (NaN for the first), and the fingerprint of s − c.
        last: [d], s − c of the last addition; [0] before the first.
    """

    rows: NDArray[np.float64]
    last: Vector


NoiseLogs = Mapping[int, NoiseLog]


def print_width(parameters: int) -> int:
    """Return k, the number of entries of a fingerprint, of models with this number of parameters."""
    return min(_PRINT, parameters)


def log_width(parameters: int) -> int:
    """Return the number of columns of a `NoiseLog` of models with this number of parameters."""
    return COLUMNS + print_width(parameters)


def measure_addition(
    centre: Vector, noised: Vector, last: Vector, round: int, roundoff: float, begin: Vector | None = None
) -> tuple[Vector, Vector]:
    """Measure one addition of noise.

    Args:
        centre: c [d], the value without the noise.
        noised: s [d], the value with it.
        last: [d], s − c of the same node's addition before; [0] for its first.
        round: of the addition.
        roundoff: u of the stored values.
        begin: x [d], the value from which the step with the noise began; None: it is `centre`.

    Returns:
        A row of a `NoiseLog` [4 + k], and s − c [d].
    """
    added = noised - centre
    norm = norm_of(added)
    sizes = (norm_of(centre) if begin is None else norm_of(begin)) + norm_of(centre) + norm_of(noised)
    allowance = allowance_of(roundoff, sizes, len(added), norm)
    before = norm_of(last)
    successive = float(np.einsum("i,i->", added, last)) / before if before > 0 else np.nan
    return np.array([round, norm, allowance, successive, *fingerprints(added[None])[0]]), added


def allowance_of(roundoff: float, sizes: Size, parameters: int, norm: Size) -> Size:
    """Return a of (1), the allowance for rounding.

    Args:
        roundoff: u of the stored values.
        sizes: ‖x‖ + ‖c‖ + ‖s‖, of one addition or [m].
        parameters: d.
        norm: ‖s − c‖, of the same shape as `sizes`.
    """
    return 8 * roundoff * sizes + parameters * 2.0**-52 * norm


def fingerprints(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fingerprint [m, k] of each of the vectors [m, d]."""
    signs, starts, scale = _parts(vectors.shape[1])
    return np.asarray(np.add.reduceat(vectors * signs, starts, axis=1) * scale)


@lru_cache(maxsize=4)
def _parts(d: int) -> tuple[Vector, NDArray[np.int64], Vector]:
    """Return the public signs [d], the first coordinate of every part [k], and 1/√(length) of every part [k]."""
    signs = np.random.default_rng(_SIGNS).choice(np.array([-1.0, 1.0]), d)
    starts: NDArray[np.int64] = (np.arange(print_width(d), dtype=np.int64) * d) // print_width(d)
    scale: Vector = np.diff([*starts.tolist(), d]).astype(np.float64) ** -0.5
    return signs, starts, scale


def norm_of(vector: Vector) -> float:
    """Return the norm of a vector, which does not depend on the number of threads, as that of BLAS does."""
    return float(np.sqrt(np.einsum("i,i->", vector, vector)))
