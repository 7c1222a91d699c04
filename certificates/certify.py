"""Compute the ε that a release guarantees."""

import hashlib
from dataclasses import replace
from math import inf, isfinite

import numpy as np

from rewindnet.certificates import continuation
from rewindnet.certificates.accounting.sampler import sampler_floor
from rewindnet.certificates.certificate import Certificate, TrainingFacts
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector
from rewindnet.certificates.release import Release
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.training import TrainingRun

#: The end of the sentence that refuses a δ below the floor.
_OTHER_SOURCE = {"os": "", "seed": ", or noise_source os"}

#: The tolerance within which the columns of a doubly stochastic matrix sum to 1.
_BALANCE = 1e-9


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
        training=TrainingFacts(
            constants=training.constants,
            rounds=training.rounds,
            step_size=training.step_size,
            local_steps=training.local_steps,
            order=training.order,
            mixing_sha256=mixing_digest(training, release),
            forget_sha256=training.forget_sha256,
        ),
        sensitivity=tuple(bounds.nodes.tolist()),
        rounding=tuple(bounds.rounding.tolist()),
        shifts=tuple(bounds.shifts.tolist()),
        mu=mu if reason is None else None,
        epsilon=epsilon if reason is None else None,
        # Where nothing can differ, no constant matters.
        conditional=differs and (training.constants.conditional or claim.bound == "instance"),
        data_dependent_noise=differs and claim.bound == "instance",
        reference=_reference(training),
        premises=_premises(training, release, claim),
        assumptions=assumptions(training, release, claim),
        reason=reason,
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


def _departure_sentence(training: TrainingRun) -> str:
    """Return the sentence about the departure of the deleting clients."""
    if not training.departed:
        return "The deleting client stays in the network as a relay that holds no deleted data."
    nodes = ", ".join(map(str, training.departed))
    return (
        f"Node {nodes} leaves the network with its data and its model; retraining runs on the network that remains, "
        "with that network's own mixing matrices."
    )


def _rounds(release: Release) -> int:
    """Return the number of rounds that a release went through, including learning rounds in which it added noise."""
    rounds_with_noise = max((round + 1 for round, _ in release.mechanism.events), default=0)
    return max(release.checkpoint_round + release.descent_rounds + release.gossip_rounds, rounds_with_noise)


def _doubly_stochastic(training: TrainingRun, release: Release) -> bool:
    """Return whether every mixing matrix that the release went through has columns that sum to 1."""
    previous = None
    for t in range(_rounds(release)):
        W = training.mixing.matrix(t)
        if W is not previous and np.abs(np.asarray(W.sum(axis=0)) - 1).max() > _BALANCE:
            return False
        previous = W
    return True


def mixing_digest(training: TrainingRun, release: Release) -> str:
    """Return the sha256 of every mixing matrix that the release went through.

    Args:
        training: the network, with the mixing matrices before a departure if there was one.
        release: what the unlearning method did, which gives the number of rounds.
    """
    digest = hashlib.sha256()
    previous = None
    for t in range(_rounds(release)):
        W = training.mixing.matrix(t)
        if W is not previous:
            previous, block = W, _bytes(W)
        digest.update(block)
        if training.mixing_before is not None:
            digest.update(_bytes(training.mixing_before.matrix(t)))
    return digest.hexdigest()


def _bytes(W: object) -> bytes:
    """Return the sha256 of a sparse matrix, which does not depend on the byte order of the machine."""
    matrix = W.tocsr()  # type: ignore[attr-defined]
    matrix.sort_indices()
    parts = (matrix.indptr.astype("<i8"), matrix.indices.astype("<i8"), matrix.data.astype("<f8"))
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()


def _reference(training: TrainingRun) -> str:
    """Return the sentence that names the reference process (Definition 1 of docs/certificates.md)."""
    network = "the network that remains after the departure" if training.departed else "the same network"
    return (
        f"Retraining on {network} with the retained data alone, from the same initial model and with the same mixing "
        "matrices and random draws, plus noise of the level that this request calls for; which clients delete, and how "
        "many samples, is public." + continuation.reference(training)
    )


def _premises(training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
    """Return the premises of the guarantee, beyond its numbers."""
    premises = [*release.mechanism.premises(training, release, claim)]
    if claim.bound == "instance":
        premises.append(
            "The guarantee is per-instance: it holds for this data and this request, and what the level of the noise "
            "reveals about the deleted samples is outside it."
        )
    return (*premises, *continuation.premises(training))


def assumptions(training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
    """Return sentences that say what a certificate covers and what it assumes.

    Args:
        training: how the network learned, and what was deleted.
        release: what the unlearning method did.
        claim: the guarantee that is asked for.
    """
    return (
        *_reference_sentences(training),
        *release.mechanism.assumptions(training, release, claim),
        *_bound_sentences(claim),
        *_network_sentences(training, release),
        *_release_sentences(release),
    )


def _reference_sentences(training: TrainingRun) -> list[str]:
    """Return sentences about the objective and about the retraining that the release is compared with."""
    constants = training.constants
    return [
        f"Every sample's loss gradient has norm at most G = {constants.G.value:.6g} and every local objective is "
        f"{constants.L.value:.6g}-smooth: {constants.G.provenance}, for features of norm at most "
        f"{constants.radius.value:g}.",
        "Retraining starts from the same initial model and uses the same mixing matrices and random draws, none of "
        "which depend on the data.",
        _departure_sentence(training),
        "Every node erases its checkpoints and its noise; what peers recorded during learning is not covered.",
    ]


def _bound_sentences(claim: Claim) -> list[str]:
    """Return sentences about the bound that is used."""
    sentences = []
    if claim.bound == "published":
        sentences.append(
            "The published sensitivity does not depend on the topology; the claimed epsilon follows the paper's own "
            "formula."
        )
    return sentences


def _network_sentences(training: TrainingRun, release: Release) -> list[str]:
    """Return sentences about minibatches, mixing matrices and rounding."""
    sentences = []
    if training.batches is not None:
        sentences.append(
            "Minibatches are drawn for each sample from its own random stream, and the certificate is conditional on "
            "the draws."
        )
    if not _doubly_stochastic(training, release):
        sentences.append(
            "Mixing matrices are not doubly stochastic, so the clients' objectives may have unequal weight in the "
            "network average; the certificate holds for such matrices as well."
        )
    if training.arithmetic is None:
        sentences.append("The arithmetic is assumed to be exact; nothing is charged for rounding.")
    else:
        u = training.arithmetic.unit_roundoff
        sentences.append(f"Rounding with unit roundoff {u:.3g} is charged by worst-case bounds on all sums.")
    return sentences


def _release_sentences(release: Release) -> list[str]:
    """Return sentences about what the release is assumed to be."""
    sentences = [
        "This release is assumed to be the only one of this deletion; several releases together reveal more than each."
    ]
    if release.noise_source == "seed":
        sentences.append(
            "Simulation only: the noise is drawn from the seed, and anyone who has the seed can subtract it."
        )
    return sentences
