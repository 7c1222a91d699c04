"""How much of a release's noise it takes to reach an ε, for mechanisms whose noise is all scaled at once."""

from dataclasses import replace
from math import isfinite

from rewindnet.certificates.accounting.gaussian import check_epsilon, mu_of
from rewindnet.certificates.certificate import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms import Profiled, mechanism_of
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun

#: How often an interval for the scale is halved, on a logarithmic scale, and how small it can be.
_HALVINGS, _SMALLEST = 50, 1e-6


def least_scale(learning: TrainingRun, release: Release, claim: Claim, epsilon: float) -> float:
    """The factor by which to multiply `release.sigma` so that its mechanism reaches (ε, δ) for the claim's view.

    μ falls as noise grows, in proportion; where the mechanism has a profile of its own, less noise may do, and the
    factor is then found by bisection, to a relative 1e-12 or so, and never below what is needed.

    Args:
        learning: how the network learned.
        release: what is done, with noise of some size.
        claim: for whom.
        epsilon: the ε to reach.

    Returns:
        0 where nothing can differ.

    Raises:
        CertificateError: if ε is out of range, or no noise of this kind reaches it.
    """
    check_epsilon(epsilon)
    learning.check_view(claim.view)
    mechanism = mechanism_of(release)
    found = mechanism.bounds(learning, release, claim)
    reason = mechanism.why_not_covered(learning, release, claim)
    mu = mechanism.mu(claim.view, found, release, learning.mixing)
    if reason is not None or not isfinite(mu):
        why = reason or "something that may differ carries no noise"
        raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {why}")
    # A hair more than the boundary asks for, so that the certificate of the rounded σ still reads ε.
    scale = mu / mu_of(epsilon, claim.delta) * (1 + 1e-12)
    if not isinstance(mechanism, Profiled) or scale == 0:
        return scale

    def reaches(factor: float) -> bool:
        noised = replace(release, sigma=release.sigma * factor)
        return mechanism.epsilon(claim.view, found, noised, learning.mixing, claim.delta) <= epsilon

    low, high = scale * _SMALLEST, scale
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
