"""Compute the ε that a release guarantees."""

from dataclasses import replace
from math import inf, isfinite

import numpy as np

from rewindnet.certificates import continuation
from rewindnet.certificates.accounting.sampler import sampler_floor
from rewindnet.certificates.certificate import Certificate, TrainingFacts
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.matrices import mixing_digest
from rewindnet.certificates.network import Vector
from rewindnet.certificates.release import Release
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.sentences import assumptions, premises, reference
from rewindnet.certificates.training import TrainingRun

#: The end of the sentence that refuses a δ below the floor.
_OTHER_SOURCE = {"os": "", "seed": ", or noise_source os"}


def certify(training: TrainingRun, release: Release, claim: Claim) -> Certificate:
    """Compute the ε that a release guarantees for the claim's view.

    Args:
        training: how the network learned, and what was deleted.
        release: what the unlearning method did.
        claim: the view, the δ and the bound of the guarantee.

    The δ must be at least the floor of the source of the noise (`accounting.sampler`). It is not compared where the
    number of parameters is not known, because `training.arithmetic` is None, or where no noise is added.

    Returns:
        The certificate. Its `epsilon` is None, and `reason` says why, where no finite ε is proven.

    Raises:
        CertificateError: if the training, the release or the claim is not understood, or δ is below the floor of the
            source of the noise.
    """
    check_request(training, release, claim)
    check_floor(training, release, claim)
    mechanism, view, mixing = release.mechanism, claim.view, training.mixing
    reason = mechanism.learning_not_covered(training, release)
    bounds = DivergenceBounds(np.zeros(0))
    if reason is None:
        bounds = mechanism.bounds(training, release, claim)
        reason = mechanism.why_not_covered(training, release, claim)
    mu = epsilon = inf
    if reason is None:
        mu = mechanism.mu(view, bounds, release, mixing)
        epsilon = mechanism.epsilon(view, bounds, release, mixing, claim.delta)
    if reason is None and not isfinite(epsilon):
        reason = _unhidden_reason(bounds.nodes, release.sigma)
    if reason is None:
        reason = _unresolved_reason(training, release, bounds.nodes)
    differs = bool(np.any(bounds.nodes > 0) or np.any(bounds.shifts > 0))
    regime = "nonconvex" if claim.bound == "published" else claim.regime or strongest_regime(training)
    return Certificate(
        release=release,
        claim=replace(claim, regime=regime),
        training=_facts(training, release),
        sensitivity=tuple(bounds.nodes.tolist()),
        rounding=tuple(bounds.rounding.tolist()),
        shifts=tuple(bounds.shifts.tolist()),
        mu=mu if reason is None else None,
        epsilon=epsilon if reason is None else None,
        # Where nothing can differ, no constant matters.
        conditional=differs and (training.constants.conditional or claim.bound == "instance"),
        data_dependent_noise=differs and (training.constants.estimated or claim.bound == "instance"),
        reference=reference(training, release),
        premises=premises(training, release, claim),
        assumptions=assumptions(training, release, claim),
        reason=reason,
    )


def _facts(training: TrainingRun, release: Release) -> TrainingFacts:
    """Return the facts about the training run that the certificate of a release carries."""
    return TrainingFacts(
        constants=training.constants,
        rounds=training.rounds,
        step_size=training.step_size,
        local_steps=training.local_steps,
        order=training.order,
        mixing_sha256=mixing_digest(training, release),
        forget_commitment=training.forget_commitment,
    )


def _unhidden_reason(sensitivity: Vector, sigma: Vector) -> str:
    """Return the reason why no finite ε holds, naming the node whose divergence the noise does not hide."""
    if not sensitivity.size:
        return "no bound is known on the divergence of its models from those of retraining, and no noise hides it"
    if not sensitivity.any():
        noise_words = f"the noise (sigma {float(sigma.max(initial=0.0)):.4g})"
        return f"the values to which {noise_words} is added may differ by far more than it hides"
    unnoised = np.where(sigma == 0, sensitivity, 0.0)
    if unnoised.any():
        node, noise = int(np.argmax(unnoised)), "no noise"
    else:
        with np.errstate(over="ignore"):
            node = int(np.argmax(sensitivity / np.where(sigma > 0, sigma, 1.0)))
        noise = f"too little noise (sigma {sigma[node]:.4g})"
    return (
        f"node {node} carries {noise}, and its model may still differ from the retrained one "
        f"by up to {sensitivity[node]:.4g}"
    )


def _unresolved_reason(training: TrainingRun, release: Release, sensitivity: Vector) -> str | None:
    """Return the reason why no ε is stated where a node's noise is lost to rounding; None where none is lost."""
    if not sensitivity.size:
        return None
    smallest = release.mechanism.least_sigma(training, release)
    unresolved = (sensitivity > 0) & (release.sigma > 0) & (release.sigma < smallest)
    if not unresolved.any():
        return None
    node = int(np.argmax(unresolved))
    return (
        f"the noise of node {node} (sigma {release.sigma[node]:.4g}) is too small for the arithmetic to carry; "
        f"it takes at least {smallest:.4g} here"
    )


def check_request(training: TrainingRun, release: Release, claim: Claim) -> None:
    """Refuse a release or a claim that does not fit the network.

    Args:
        training: how the network learned, and what was deleted.
        release: what the unlearning method did.
        claim: the guarantee that is asked for.

    Raises:
        CertificateError: saying what does not fit.
    """
    if training.departed and release.averaged:
        raise CertificateError(
            "releasing the network average needs a network without departures; with departure leave use joint"
        )
    if np.shape(release.sigma) != (training.mixing.nodes,):
        raise CertificateError(f"sigma must have one entry for each of {training.mixing.nodes} nodes")
    training.check_view(claim.view)
    continuation.check_release(training, release, claim)


def check_floor(training: TrainingRun, release: Release, claim: Claim) -> None:
    """Refuse a δ below the floor of the source of the noise; nothing is refused where the floor is not known.

    Args:
        training: how the network learned; its arithmetic says how many parameters a model has.
        release: what the unlearning method did, with its noise.
        claim: the δ.

    Raises:
        CertificateError: with the floor.
    """
    if training.arithmetic is None:
        return
    vectors, parameters = release.mechanism.noise_vectors(release), training.arithmetic.parameters
    floor = sampler_floor(release.noise_source, vectors * parameters)
    if claim.delta < floor:
        raise CertificateError(
            f"delta {claim.delta:g} is below what the noise source {release.noise_source} can give: its "
            f"{vectors:,} vectors of {parameters:,} values may differ from Gaussian noise with a probability of up to "
            f"{floor:.2g}; choose a delta of at least that" + _OTHER_SOURCE[release.noise_source]
        )
