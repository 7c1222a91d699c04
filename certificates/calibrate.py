"""Calibrate the noise, or the rewind depth, of a release to a target ε."""

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
from rewindnet.certificates.certify import certify, check_floor, check_request
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.gaussian_output import GaussianOutput
from rewindnet.certificates.network import Vector
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.views.allocation import noise_shape
from rewindnet.certificates.views.mu import mu_of_view

#: Bisection steps for the scale of the noise (on a logarithmic scale), and the smallest factor that is searched.
_HALVINGS, _SMALLEST = 50, 1e-6


def least_scale(training: TrainingRun, release: Release, claim: Claim, epsilon: float) -> float:
    """Return the factor by which to multiply `release.sigma` so that the release reaches (ε, δ).

    μ is inversely proportional to the scale of the noise, which gives a sufficient factor in closed form. Where the
    mechanism has an (ε, δ) profile that is tighter than the one of μ (`Mechanism.has_profile`), less noise can suffice;
    the factor is then found by bisection, to a relative accuracy of about 1e-12, and is never smaller than needed.

    Args:
        training: how the network learned and what was deleted.
        release: what was done, with noise of any size above 0.
        claim: the view and the δ of the guarantee.
        epsilon: the ε to reach.

    Where the arithmetic would round the noise of this factor away at a node whose model may differ, the factor is the
    least with which it does not.

    Returns:
        The factor; 0 where the unlearned and the retrained models cannot differ.

    Raises:
        CertificateError: if ε is out of range, or no noise of this kind reaches it.
    """
    check_epsilon(epsilon)
    training.check_view(claim.view)
    mechanism = release.mechanism
    _check_learning(training, release, epsilon)
    bounds = mechanism.bounds(training, release, claim)
    factor = _sufficient_scale(training, release, claim, epsilon, bounds)
    noise = release.sigma[release.sigma > 0]
    if factor == 0 or not noise.size or not np.any(bounds.nodes > 0):
        return factor
    return max(factor, mechanism.least_sigma(training, release) / float(noise.min()) * (1 + 1e-12))


def _sufficient_scale(
    training: TrainingRun, release: Release, claim: Claim, epsilon: float, bounds: DivergenceBounds
) -> float:
    """Return the factor of `least_scale` in exact arithmetic, for these bounds on the divergence."""
    mechanism = release.mechanism
    reason = mechanism.why_not_covered(training, release, claim)
    mu = mechanism.mu(claim.view, bounds, release, training.mixing)
    if reason is not None or not isfinite(mu):
        explanation = reason or "a model or message that may differ carries no noise"
        raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {explanation}")
    # Slightly above the exact boundary, so that the certificate of the rounded σ still gives at most ε.
    scale = mu / mu_of(epsilon, claim.delta) * (1 + 1e-12)
    if not mechanism.has_profile or scale == 0:
        return scale

    def reaches(factor: float) -> bool:
        scaled = replace(release, sigma=release.sigma * factor)
        return mechanism.epsilon(claim.view, bounds, scaled, training.mixing, claim.delta) <= epsilon

    low, high = scale * _SMALLEST, scale
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def calibrate(training: TrainingRun, release: Release, claim: Claim, epsilon: float) -> Vector:
    """Return the noise σ [N] with which a release reaches (ε, δ) for the claim's view.

    For a mechanism with one Gaussian vector per node (`GaussianOutput`) the noise is allocated among the nodes as the
    claim asks, whatever `release.sigma` is; with the bound `published` its size follows from `textbook_sigma`, as in
    the R2D paper. For every other mechanism `release.sigma` is multiplied by one factor (`least_scale`). A node whose
    model may differ gets at least the noise that the arithmetic resolves, so the release has an ε.

    Args:
        training: how the network learned and what was deleted.
        release: what was done; its `sigma` gives the shape of the noise for mechanisms other than `GaussianOutput`.
        claim: the view, the δ, the bound and the allocation.
        epsilon: the ε to reach.

    Returns:
        σ [N], the standard deviation of each node's noise.

    Raises:
        CertificateError: if ε is out of range, or no noise can reach it for this view.
    """
    check_epsilon(epsilon)
    check_request(training, release, claim)
    mechanism = release.mechanism
    if not isinstance(mechanism, GaussianOutput):
        return release.sigma * least_scale(training, release, claim, epsilon)
    _check_learning(training, release, epsilon)
    bounds = mechanism.bounds(training, release, claim).nodes
    if bounds.size and not np.any(bounds > 0):
        return np.zeros_like(bounds)
    reason = mechanism.why_not_covered(training, release, claim)
    if reason is not None:
        advice = "; give sigma, 0 for no noise: its epsilon is then null" if not bounds.size else ""
        raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {reason}{advice}")
    unit = noise_shape(claim.view, claim.allocation, bounds, release, training.mixing) * training.present
    mu = mu_of_view(claim.view, bounds, replace(release, sigma=unit), training.mixing)
    if claim.bound == "published":
        sigma = unit * mu * textbook_sigma(epsilon, claim.delta)
    else:
        # Slightly above the exact boundary, so that the certificate of the rounded σ still gives at most ε.
        sigma = unit * (mu / mu_of(epsilon, claim.delta)) * (1 + 1e-12)
    sigma = resolved_noise(training, release, sigma)
    check_floor(training, replace(release, sigma=sigma), claim)
    return sigma


def _check_learning(training: TrainingRun, release: Release, epsilon: float) -> None:
    """Refuse to compute noise for an ε where the proof of the mechanism does not cover how the network learned."""
    reason = release.mechanism.learning_not_covered(training, release)
    if reason is not None:
        raise CertificateError(
            f"no noise is known to reach epsilon {epsilon:g}: {reason}; give {release.method} its sigma instead of "
            "epsilon, and it runs without a certificate"
        )


def _node_bounds(training: TrainingRun, release: Release, claim: Claim) -> Vector:
    """Return bounds [N] on the divergences of the nodes; [0] where none are known of the model or of how it learned."""
    if release.mechanism.learning_not_covered(training, release) is not None:
        return np.zeros(0)
    return release.mechanism.bounds(training, release, claim).nodes


def resolved_noise(training: TrainingRun, release: Release, sigma: Vector) -> Vector:
    """Return the noise σ [N], raised to the least that the arithmetic resolves where it is above 0 and below that.

    More noise at a node never increases μ of a view of independent noise, so a μ that was reached still is.

    Args:
        training: how the network learned.
        release: what was done; its `sigma` plays no part.
        sigma: [N], the noise.
    """
    least = release.mechanism.least_sigma(training, release)
    return np.where(sigma > 0, np.maximum(sigma, least), sigma)


def scaled_noise(training: TrainingRun, release: Release, claim: Claim, sigma: float) -> Vector:
    """Return the noise σ [N] with a given root mean square over the nodes, allocated as the claim asks.

    Args:
        training: how the network learned and what was deleted.
        release: what was done; its `sigma` plays no part.
        claim: the view, the bound and the allocation.
        sigma: the root mean square of the σ_i, ≥ 0.

    Returns:
        σ [N], the standard deviation of each node's noise.

    Raises:
        CertificateError: if sigma is negative or not finite, or the claim does not fit the network.
    """
    check_request(training, release, claim)
    if not (isfinite(sigma) and sigma >= 0):
        raise CertificateError(f"sigma must be a non-negative number, not {sigma}")
    bounds = _node_bounds(training, release, claim)
    if not bounds.size:
        if claim.allocation != "uniform":
            reason = release.mechanism.learning_not_covered(training, release) or training.constants.why_unknown
            raise CertificateError(f"noise cannot be allocated by what may differ: {reason}; use allocation: uniform")
        bounds = np.ones(training.mixing.nodes)
    shape = noise_shape(claim.view, claim.allocation, bounds, release, training.mixing) * training.present
    return shape * (sigma / sqrt(float(np.mean(shape**2))))


def claimed_epsilon(training: TrainingRun, release: Release, claim: Claim) -> float | None:
    """Return the ε that the paper of the claim's bound would state for this release.

    Args:
        training: how the network learned and what was deleted.
        release: what was done, with its noise.
        claim: the view, the δ and the bound.

    Returns:
        ε; None where it is infinite, no bound is known, or the formula is not for the view or for how the network
        learned.
    """
    if release.mechanism.why_not_covered(training, release, claim) is not None:
        return None
    bounds = _node_bounds(training, release, claim)
    if not bounds.size:
        return None
    mu = mu_of_view(claim.view, bounds, release, training.mixing)
    if claim.bound == "published" and 0 < mu < inf:
        epsilon = textbook_epsilon(1 / mu, claim.delta)
    else:
        epsilon = epsilon_of(mu, claim.delta)
    return epsilon if isfinite(epsilon) else None


def least_depth(
    training: TrainingRun,
    candidates: Sequence[int],
    release_of: Callable[[int], Release],
    claim: Claim,
    epsilon: float,
) -> int:
    """Return the smallest depth whose release, with the noise it carries, is certified at ε or better.

    Args:
        training: how the network learned and what was deleted.
        candidates: the depths to try in increasing order, in rounds to rewind (or to descend).
        release_of: returns the release for a candidate depth.
        claim: the view, the δ and the bound.
        epsilon: the ε to reach.

    Returns:
        The first candidate that reaches ε.

    Raises:
        CertificateError: if no candidate reaches ε.
    """
    best: float | None = None
    for rounds in candidates:
        reached = certify(training, release_of(rounds), claim).epsilon
        if reached is not None and reached <= epsilon:
            return rounds
        best = reached if best is None or (reached is not None and reached < best) else best
    closest = "none gets a number" if best is None else f"the best reaches epsilon {rounded_up(best, 4)}"
    raise CertificateError(
        f"no depth from {candidates[0]} to {candidates[-1]} rounds reaches epsilon {epsilon:g} "
        f"with this sigma; {closest}"
    )
