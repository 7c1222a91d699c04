"""Conversion from Rényi divergences to (ε, δ).

Suppose the Rényi divergence of two runs is at most α·ρ for every order α > 1, in both directions (Mironov 2017, "Rényi
differential privacy"). Then they are (ε, δ)-indistinguishable for every α > 1 with

    ε = α·ρ + log((α − 1)/α) − (log δ + log α)/(α − 1):

Canonne, Kamath and Steinke (2020), "The discrete Gaussian for differential privacy", Prop. 12 (and Asoodeh et al.
2021). Note that the divergence of order α is α·ρ, not ρ.
"""

from math import exp, isfinite, log, log1p

import scipy

from rewindnet.certificates.accounting.gaussian import check_delta, check_epsilon
from rewindnet.certificates.errors import CertificateError

#: The range of log(α − 1) that is searched; orders beyond it give nothing that floating point can represent.
_ORDERS = (-60.0, 60.0)


def epsilon_of_rho(rho: float, delta: float) -> float:
    """Return the least ε ≥ 0 over all orders α > 1 for Rényi divergences of at most α·ρ; infinite if ρ is infinite.

    Every order gives a valid ε, so the result does not depend on finding the best order exactly.

    Args:
        rho: ρ ≥ 0.
        delta: δ.

    Raises:
        CertificateError: if ρ is negative or not a number, or δ is out of range.
    """
    check_delta(delta)
    if not rho >= 0:
        raise CertificateError(f"rho is a non-negative number, not {rho}")
    if rho == 0 or not isfinite(rho):
        return rho

    def epsilon_at(order: float) -> float:
        excess = exp(order)  # α − 1
        return (1 + excess) * rho + order - log1p(excess) - (log(delta) + log1p(excess)) / excess

    # Two searches: near the order that is optimal without the terms that do not depend on δ, and over the whole range.
    guess = (log(-log(delta)) - log(rho)) / 2
    near = (max(guess - 5, _ORDERS[0]), min(guess + 5, _ORDERS[1]))
    intervals = [interval for interval in (near, _ORDERS) if interval[0] < interval[1]]
    return max(
        0.0,
        min(
            float(scipy.optimize.minimize_scalar(epsilon_at, bounds=interval, method="bounded").fun)
            for interval in intervals
        ),
    )


def rho_of(epsilon: float, delta: float) -> float:
    """Return the largest ρ whose ε at δ, as given by `epsilon_of_rho`, is at most `epsilon`.

    Args:
        epsilon: ε > 0.
        delta: δ in (0, 1).

    Raises:
        CertificateError: if ε or δ is out of range.
    """
    check_epsilon(epsilon)
    check_delta(delta)
    low = high = epsilon
    while epsilon_of_rho(low, delta) > epsilon:
        low /= 2
    while epsilon_of_rho(high, delta) <= epsilon:
        high *= 2
    root = float(
        scipy.optimize.brentq(lambda rho: epsilon_of_rho(rho, delta) - epsilon, low, high, xtol=1e-300, rtol=1e-14)
    )
    margin = 1e-15
    while epsilon_of_rho(root, delta) > epsilon:
        root, margin = root * (1 - margin), 2 * margin
    return root
