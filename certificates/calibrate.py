"""Calibrate the noise, or the depth, of a release to a target ε."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, isfinite, sqrt

import numpy as np

from rewindnet.certificates.accounting.gaussian import (
    check_epsilon,
    epsilon_of,
    mu_of,
    textbook_epsilon,
    textbook_sigma,
)
from rewindnet.certificates.certify import certify, check_request
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.gaussian_output import GaussianOutput
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun, Vector
from rewindnet.certificates.views.allocation import noise_shape
from rewindnet.certificates.views.distances import mu_of_view

#: How often an interval for the scale is halved, on a logarithmic scale, and how small it can be.
_HALVINGS, _SMALLEST = 50, 1e-6


def least_scale(training: TrainingRun, release: Release, claim: Claim, epsilon: float) -> float:
    """The factor by which to multiply `release.sigma` so that its mechanism reaches (ε, δ) for the claim's view.

    μ falls as noise grows, in proportion; where the mechanism has a profile of its own, less noise may do, and the
    factor is then found by bisection, to a relative 1e-12 or so, and never below what is needed.

    Args:
        training: how the network learned.
        release: what is done, with noise of some size.
        claim: for whom.
        epsilon: the ε to reach.

    Returns:
        0 where nothing can differ.

    Raises:
        CertificateError: if ε is out of range, or no noise of this kind reaches it.
    """
    check_epsilon(epsilon)
    training.check_view(claim.view)
    mechanism = release.mechanism
    found = mechanism.bounds(training, release, claim)
    reason = mechanism.why_not_covered(training, release, claim)
    mu = mechanism.mu(claim.view, found, release, training.mixing)
    if reason is not None or not isfinite(mu):
        why = reason or "something that may differ carries no noise"
        raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {why}")
    # A hair more than the boundary asks for, so that the certificate of the rounded σ still reads ε.
    scale = mu / mu_of(epsilon, claim.delta) * (1 + 1e-12)
    if not mechanism.has_profile or scale == 0:
        return scale

    def reaches(factor: float) -> bool:
        noised = replace(release, sigma=release.sigma * factor)
        return mechanism.epsilon(claim.view, found, noised, training.mixing, claim.delta) <= epsilon

    low, high = scale * _SMALLEST, scale
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def calibrate(training: TrainingRun, release: Release, claim: Claim, epsilon: float) -> Vector:
    """Return the noise σ [N] with which a release reaches (ε, δ) for the claim's view.

    Where the noise is one Gaussian vector for each node, it is allocated as the claim asks, whatever `release.sigma`;
    with the bound `published` it is as large as its paper takes it (`textbook_sigma` of the sensitivity). Other
    mechanisms have `release.sigma` scaled as a whole (`least_scale`).

    Raises:
        CertificateError: if ε is out of range, or no noise can reach it for this view.
    """
    check_epsilon(epsilon)
    check_request(training, release, claim)
    mechanism = release.mechanism
    if not isinstance(mechanism, GaussianOutput):
        return release.sigma * least_scale(training, release, claim, epsilon)
    bounds = mechanism.bounds(training, release, claim).nodes
    if not np.any(bounds > 0):
        return np.zeros_like(bounds)
    reason = mechanism.why_not_covered(training, release, claim)
    if reason is not None:
        raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {reason}")
    unit = noise_shape(claim.view, claim.allocation, bounds, release, training.mixing) * training.present
    reach = mu_of_view(claim.view, bounds, replace(release, sigma=unit), training.mixing)
    if claim.bound == "published":
        return unit * reach * textbook_sigma(epsilon, claim.delta)
    # A hair more noise than the boundary asks for, so that the certificate of the rounded σ still reads ε.
    return unit * (reach / mu_of(epsilon, claim.delta)) * (1 + 1e-12)


def scaled_noise(training: TrainingRun, release: Release, claim: Claim, sigma: float) -> Vector:
    """The noise σ [N] of a given size (root mean square over nodes), allocated as the claim asks.

    Raises:
        CertificateError: if sigma is negative or not finite, or the claim is not understood.
    """
    check_request(training, release, claim)
    if not (isfinite(sigma) and sigma >= 0):
        raise CertificateError(f"sigma must be a non-negative number, not {sigma}")
    noised = release.mechanism.bounds(training, release, claim).nodes
    shape = noise_shape(claim.view, claim.allocation, noised, release, training.mixing) * training.present
    return shape * (sigma / sqrt(float(np.mean(shape**2))))


def claimed_epsilon(training: TrainingRun, release: Release, claim: Claim) -> float | None:
    """The ε that the bound's own paper would print for this release; None if that is no number."""
    noised = release.mechanism.bounds(training, release, claim).nodes
    mu = mu_of_view(claim.view, noised, release, training.mixing)
    if claim.bound == "published" and 0 < mu < inf:
        claimed = textbook_epsilon(1 / mu, claim.delta)
    else:
        claimed = epsilon_of(mu, claim.delta)
    return claimed if isfinite(claimed) else None


def least_depth(
    training: TrainingRun,
    candidates: Sequence[int],
    release_of: Callable[[int], Release],
    claim: Claim,
    epsilon: float,
) -> int:
    """The smallest candidate depth whose release, with the noise it carries, is certified at ε or better.

    Args:
        training: how the network learned.
        candidates: numbers of rounds to rewind (or to descend), increasing.
        release_of: what would be done for a candidate.
        claim: for whom.
        epsilon: the ε to reach.

    Raises:
        CertificateError: if no candidate reaches ε.
    """
    best: float | None = None
    for rounds in candidates:
        reached = certify(training, release_of(rounds), claim).epsilon
        if reached is not None and reached <= epsilon:
            return rounds
        best = reached if best is None or (reached is not None and reached < best) else best
    closest = "none gets a number" if best is None else f"the best reaches epsilon {best:.4g}"
    raise CertificateError(
        f"no depth from {candidates[0]} to {candidates[-1]} rounds reaches epsilon {epsilon:g} "
        f"with this sigma; {closest}"
    )
