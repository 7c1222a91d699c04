"""The exact (ε, δ) trade-off of the Gaussian mechanism.

Let N(c, Σ) and N(c', Σ) be two Gaussians with μ = ‖Σ^{-1/2}(c − c')‖. They are (ε, δ)-indistinguishable if and only if
δ ≥ δ(ε; μ) = Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ), for every ε ≥ 0: Balle and Wang (2018), "Improving the Gaussian
mechanism for differential privacy", Eq. 6.

**Small μ.** The two terms agree to about log₁₀(1/μ) digits, so below μ = 10⁻⁶ their difference is computed in another
form. Let x = ε/μ, h = μ/2 and R(t) = Φ(−t)/φ(t), the Mills ratio. Since φ(x − h) = e^ε·φ(x + h),

    δ(ε; μ) = φ(x − h)·(R(x − h) − R(x + h)) = φ(x − h)·μ·q(x)·(1 + h²·s(x)/6 + O(h⁴)),

where q = −R' = 1 − x·R > 0 and s = R⁽³⁾/R' = 2 − x·(R − x·q)/q lies in [0, 2]. (R' = t·R − 1 and its derivatives:
Abramowitz and Stegun 1964, 26.2.) Where x is large, 1 − x·R cancels; there R = 1/(x + c) with Laplace's continued
fraction c = 1/(x + 2/(x + 3/(x + …))) (26.2.14), so that q = c·R. At ε = 0 this is δ(0; μ) = erf(μ/(2√2)).

**Accuracy**, for δ ≥ 10⁻³⁰⁰ and in relative terms: 10⁻¹² for μ < 10⁻⁶, and 10⁻¹⁰/min(μ, 1) above, up to μ = 10³. For
μ < 10⁻⁶, `epsilon_of` and `mu_of` allow for the error, and what they return holds for the exact δ(ε; μ). For larger μ
it holds for the computed one.
"""

from collections.abc import Callable
from math import exp, expm1, inf, isfinite, log, pi, sqrt

import scipy
from scipy.special import erfcx, log_ndtr

from rewindnet.certificates.errors import CertificateError

_LARGEST_MU = 1e8
#: The ranges in which the accounting works in floating point; numbers beyond them have no practical meaning.
_LARGEST_EPSILON, _SMALLEST_DELTA = 1e12, 1e-300
_TO_THE_LAST_DIGITS = {"xtol": 1e-300, "rtol": 1e-14, "maxiter": 1000}

#: Below this μ, δ is computed by its expansion in μ.
_SMALL_MU = 1e-6
#: A bound on the relative error of that expansion.
_SMALL_MU_ERROR = 1e-12
#: Beyond this x = ε/μ, δ is 0 in floating point.
_LARGEST_X = 39.0
#: From this x on, the Mills ratio is computed by Laplace's continued fraction, with this number of terms.
_LAPLACE_FROM, _LAPLACE_TERMS = 2.0, 120


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
    if mu < _SMALL_MU:
        factor, exponent = _expansion(mu, epsilon)
        return factor * exp(exponent)
    return _delta_of_terms(mu, epsilon)


def _delta_of_terms(mu: float, epsilon: float) -> float:
    """Return δ(ε; μ) as the difference of its two terms."""
    first = float(log_ndtr(mu / 2 - epsilon / mu))
    if first == -inf:
        return 0.0
    second = float(epsilon + log_ndtr(-mu / 2 - epsilon / mu))
    # The difference of two nearly equal terms keeps its digits in this form.
    return exp(first) * -expm1(min(second - first, 0.0))


def _expansion(mu: float, epsilon: float) -> tuple[float, float]:
    """Return the factor and the exponent of δ(ε; μ) = factor·e^exponent for a small μ, as in the module."""
    x, h = epsilon / mu, mu / 2
    if not x < _LARGEST_X:
        return mu, -inf
    mills, q = _mills_ratio(x)
    third = 2 - x * (mills - x * q) / q
    return mu * (q / sqrt(2 * pi)) * (1 + h * h * third / 6), -(x - h) * (x - h) / 2


def _log_delta_of_small(mu: float, epsilon: float) -> float:
    """Return log δ(ε; μ) for a small μ; −inf where δ is 0 in floating point."""
    factor, exponent = _expansion(mu, epsilon)
    return log(factor) + exponent if factor > 0 else -inf


def _mills_ratio(x: float) -> tuple[float, float]:
    """Return R(x) and q(x) = 1 − x·R(x) for x ≥ 0."""
    if x < _LAPLACE_FROM:
        mills = sqrt(pi / 2) * float(erfcx(x / sqrt(2)))
        return mills, 1 - x * mills
    c = 0.0
    for k in range(_LAPLACE_TERMS, 0, -1):
        c = k / (x + c)
    return 1 / (x + c), c / (x + c)


def mu_of_difference(difference: float, sigma: float) -> float:
    """Return μ of one addition of Gaussian noise, difference/σ: 0 without a difference, infinite for one without noise.

    Args:
        difference: the distance of the two values to which the noise is added.
        sigma: σ, its standard deviation in every coordinate.
    """
    if difference == 0:
        return 0.0
    return difference / sigma if sigma > 0 else inf


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
    if delta_of(_SMALL_MU, epsilon) > delta:
        return _small_mu_of(epsilon, delta)
    # δ(ε; μ) ≤ δ(0; μ) ≤ μ/√(2π), so μ = δ is always below the root.
    lowest = min(1e-12, delta)
    root = float(
        scipy.optimize.brentq(
            lambda mu: _delta_of_terms(mu, epsilon) - delta, lowest, _LARGEST_MU, **_TO_THE_LAST_DIGITS
        )
    )
    return _conservative_root(root, -1, lambda mu: delta_of(mu, epsilon) <= delta)


def _small_mu_of(epsilon: float, delta: float) -> float:
    """Return the largest μ that is (ε, δ)-indistinguishable, where it is below `_SMALL_MU`."""
    target = log(delta) - _SMALL_MU_ERROR
    # δ(ε; μ) ≤ μ/√(2π), and with t = x − h ≥ 0 also δ(ε; μ) ≤ Φ(−t) ≤ exp(−t²/2)/2, so both are below the root.
    lowest = max(delta, epsilon / (sqrt(-2 * target) + 1))
    root = exp(
        scipy.optimize.brentq(
            lambda power: max(_log_delta_of_small(exp(power), epsilon), 2 * target) - target,
            log(lowest) - 1e-9,
            log(_SMALL_MU) + 1e-9,
            **_TO_THE_LAST_DIGITS,
        )
    )
    return _conservative_root(root, -1, lambda mu: _log_delta_of_small(mu, epsilon) <= target)


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
    if 0 < mu < _SMALL_MU:
        return _epsilon_of_small(mu, delta)
    if delta_of(mu, 0.0) <= delta:
        return 0.0
    ceiling = mu * mu / 2 + mu * sqrt(2 * log(1 / delta)) + 1
    root = float(
        scipy.optimize.brentq(lambda epsilon: delta_of(mu, epsilon) - delta, 0.0, ceiling, **_TO_THE_LAST_DIGITS)
    )
    return _conservative_root(root, +1, lambda epsilon: delta_of(mu, epsilon) <= delta)


def _epsilon_of_small(mu: float, delta: float) -> float:
    """Return the smallest ε ≥ 0 at which a μ below `_SMALL_MU` is (ε, δ)-indistinguishable."""
    target = log(delta) - _SMALL_MU_ERROR

    def holds(epsilon: float) -> bool:
        return _log_delta_of_small(mu, epsilon) <= target

    if holds(0.0):
        return 0.0
    # δ(ε; μ) ≤ Φ(h − x) ≤ exp(−(x − h)²/2)/2, which is less than δ at this x.
    furthest = mu / 2 + sqrt(-2 * target)
    root = scipy.optimize.brentq(
        lambda x: max(_log_delta_of_small(mu, x * mu), 2 * target) - target, 0.0, furthest, **_TO_THE_LAST_DIGITS
    )
    return _conservative_root(float(root) * mu, +1, holds)


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
