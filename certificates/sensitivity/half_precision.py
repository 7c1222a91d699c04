"""Checkpoints that are kept in half precision: by how much a model that is read back may differ from the one kept.

Half precision is binary16 of IEEE 754: it rounds a number x with 2⁻¹⁴ ≤ |x| ≤ 65,504 by at most 2⁻¹¹·|x|, a smaller one
by at most 2⁻²⁵, and a larger one to infinity.
"""

from math import sqrt

import numpy as np

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector

#: A bound on |x − h|/|h| for x that is rounded to h; the second factor is for values that are rounded twice on the way.
_RELATIVE = 2.0**-11 / (1 - 2.0**-11) * (1 + 2.0**-10)
#: A bound on |x − h| for the least numbers, which are spaced evenly.
_LEAST = 2.0**-25 * (1 + 2.0**-10)


def error_of_half_precision(norms: Vector, parameters: int) -> Vector:
    """Return a bound [N] on the distance of models in half precision from those that were rounded to them.

    Args:
        norms: [N], the norms of the models in half precision.
        parameters: d, their size.
    """
    return np.asarray(_RELATIVE * np.asarray(norms, dtype=np.float64) + _LEAST * sqrt(parameters))


def check_half_precision(norms: Vector, parameters: int, charged: float, round: int) -> None:
    """Check that models are rounded by no more than certificates charge.

    Args:
        norms: [N], the norms of the models in half precision.
        parameters: d, their size.
        charged: what certificates charge, `learning.checkpoints.half_precision`.
        round: the number of rounds before the checkpoint.

    Raises:
        CertificateError: if one may be further off.
    """
    error = float(error_of_half_precision(norms, parameters).max(initial=0.0))
    if np.isfinite(error) and error <= charged:
        return
    problem = (
        f"a model of the checkpoint after round {round} may be off by {error:.3g} in half precision, which is more "
        f"than the {charged:g} that learning.checkpoints.half_precision charges"
        if np.isfinite(error)
        else f"a model of the checkpoint after round {round} has a parameter beyond 65,504, the largest number of half "
        "precision"
    )
    raise CertificateError(f"{problem}: charge more, or keep checkpoints as they are")


def check_charge(charged: float, parameters: int) -> None:
    """Check before learning that the error of half precision can be charged.

    Args:
        charged: what certificates charge.
        parameters: d, the size of a model.

    Raises:
        CertificateError: if models of this size may be further off whatever they are.
    """
    least = _LEAST * sqrt(parameters)
    if least > charged:
        raise CertificateError(
            f"learning.checkpoints.half_precision charges {charged:g}, and {parameters:,} parameters in half "
            f"precision may be off by {least:.3g} even where all are tiny: charge more"
        )
