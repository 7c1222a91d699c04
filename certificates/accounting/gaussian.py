"""The exact (ε, δ) trade-off of the Gaussian mechanism.

Let N(c, Σ) and N(c', Σ) be two Gaussians with μ = ‖Σ^{-1/2}(c − c')‖. They are (ε, δ)-indistinguishable if and only if
δ ≥ δ(ε; μ) = Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ), for every ε ≥ 0: Balle and Wang (2018), "Improving the Gaussian
mechanism for differential privacy", Eq. 6.
"""

from collections.abc import Callable
from math import exp, expm1, inf, isfinite, log, sqrt

from scipy.optimize import brentq
from scipy.special import log_ndtr

from rewindnet.certificates.errors import CertificateError

_LARGEST_MU = 1e8
#: The ranges in which the accounting works in floating point; numbers beyond them have no practical meaning.
_LARGEST_EPSILON, _SMALLEST_DELTA = 1e12, 1e-300
_TO_THE_LAST_DIGITS = {"xtol": 1e-300, "rtol": 1e-14, "maxiter": 1000}


def check_epsilon(epsilon: float) -> float:
    """Return the given ε if it is a positive number of at most 10¹².

    Args:
        epsilon: ε.

    Raises:
        CertificateError: otherwise.
    """
    if not 0 < epsilon <= _LARGEST_EPSILON:
        raise CertificateError(f"epsilon must be a positive number of at most {_LARGEST_EPSILON:g}, not {epsilon}")
    return float(epsilon)


def check_delta(delta: float) -> float:
    """Return the given δ if it is at least 10⁻³⁰⁰ and below 1.

    Args:
        delta: δ.

    Raises:
        CertificateError: otherwise.
    """
    if not _SMALLEST_DELTA <= delta < 1:
        raise CertificateError(
            f"delta must lie strictly between 0 and 1 (and not below {_SMALLEST_DELTA:g}), not {delta}"
        )
    return float(delta)


def delta_of(mu: float, epsilon: float) -> float:
    """Return δ(ε; μ), the smallest δ at which N(0, 1) and N(μ, 1) are (ε, δ)-indistinguishable.

    Args:
        mu: μ.
        epsilon: ε ≥ 0.
    """
    if mu <= 0:
        return 0.0
    if not isfinite(mu):
        return 1.0
    first = float(log_ndtr(mu / 2 - epsilon / mu))
    if first == -inf:
        return 0.0
    second = float(epsilon + log_ndtr(-mu / 2 - epsilon / mu))
    # The difference of two nearly equal terms keeps its digits in this form.
    return exp(first) * -expm1(min(second - first, 0.0))


def mu_of(epsilon: float, delta: float) -> float:
    """Return the largest μ that is (ε, δ)-indistinguishable; σ = sensitivity/μ is then the noise to add.

    Args:
        epsilon: ε > 0.
        delta: δ in (0, 1).

    Raises:
        CertificateError: if ε or δ is out of range.
    """
    check_epsilon(epsilon)
    check_delta(delta)
    # δ(ε; μ) ≤ δ(0; μ) ≤ μ/√(2π), so μ = δ is always below the root.
    lowest = min(1e-12, delta)
    root = float(brentq(lambda mu: delta_of(mu, epsilon) - delta, lowest, _LARGEST_MU, **_TO_THE_LAST_DIGITS))
    return _conservative_root(root, -1, lambda mu: delta_of(mu, epsilon) <= delta)


def epsilon_of(mu: float, delta: float) -> float:
    """Return the smallest ε ≥ 0 at which a μ is (ε, δ)-indistinguishable; infinite if μ is infinite.

    Args:
        mu: μ ≥ 0.
        delta: δ in (0, 1).

    Raises:
        CertificateError: if δ is out of range.
    """
    check_delta(delta)
    if not mu <= _LARGEST_MU:
        return inf
    if delta_of(mu, 0.0) <= delta:
        return 0.0
    ceiling = mu * mu / 2 + mu * sqrt(2 * log(1 / delta)) + 1
    root = float(brentq(lambda epsilon: delta_of(mu, epsilon) - delta, 0.0, ceiling, **_TO_THE_LAST_DIGITS))
    return _conservative_root(root, +1, lambda epsilon: delta_of(mu, epsilon) <= delta)


def _conservative_root(root: float, side: int, holds: Callable[[float], bool]) -> float:
    """Return the number nearest to a root on one side of it, below (−1) or above (+1), for which `holds` is true.

    `brentq` may stop on either side of the root, and only one side gives a valid bound.
    """
    margin = 1e-15
    while not holds(root):
        root, margin = root * (1 + side * margin), 2 * margin
    return root


def textbook_sigma(epsilon: float, delta: float) -> float:
    """Return σ per unit of sensitivity by the formula of the R2D paper.

    It is √(2 ln(1.25/δ))/ε for ε ≤ 1 and the exact formula above that: Mu and Klabjan (2025), arXiv 2409.09778. The
    first formula is Dwork and Roth (2014), Theorem A.1, and is valid only for ε ≤ 1. It is offered as the reference for
    `published` certificates and never used for a certified ε.

    Args:
        epsilon: ε > 0.
        delta: δ in (0, 1).

    Raises:
        CertificateError: if ε or δ is out of range.
    """
    check_epsilon(epsilon)
    check_delta(delta)
    return sqrt(2 * log(1.25 / delta)) / epsilon if epsilon <= 1 else 1 / mu_of(epsilon, delta)


def textbook_epsilon(sigma: float, delta: float) -> float:
    """Return the ε that `textbook_sigma` would state for this σ per unit of sensitivity.

    Args:
        sigma: σ divided by the sensitivity.
        delta: δ in (0, 1).

    Raises:
        CertificateError: if δ is out of range.
    """
    check_delta(delta)
    if sigma <= 0:
        return inf
    claimed = sqrt(2 * log(1.25 / delta)) / sigma
    return claimed if claimed <= 1 else max(1.0, epsilon_of(1 / sigma, delta))
