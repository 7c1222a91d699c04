"""The sentences of a certificate: what the release is compared with, what is covered and what is assumed."""

from rewindnet.certificates import continuation
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.constants import DERIVATIONS
from rewindnet.certificates.matrices import doubly_stochastic
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun


def reference(training: TrainingRun, release: Release) -> str:
    """Return the sentence that names the reference process (Definition 1 of docs/certificates.md).

    Args:
        training: how the network learned, and what was deleted.
        release: what the unlearning method did.
    """
    network = "the network that remains after the departure" if training.departed else "the same network"
    return (
        f"Retraining on {network} with the retained data alone, from the same initial model and with the same mixing "
        "matrices and random draws, plus noise of the level that this request calls for; which clients delete, and how "
        "many samples, is public." + continuation.reference(training, release)
    )


def premises(training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
    """Return the premises of the guarantee, beyond its numbers.

    Args:
        training: how the network learned, and what was deleted.
        release: what the unlearning method did.
        claim: the guarantee that is asked for.
    """
    found = [*release.mechanism.premises(training, release, claim)]
    if claim.bound == "instance":
        found.append(
            "The guarantee is per-instance: it holds for this data and this request, and what the level of the noise "
            "reveals about the deleted samples is outside it."
        )
    # A model that is listed has constants that are estimated only as far as the norm of its features is.
    if training.constants.estimated and training.constants.model not in DERIVATIONS and release.checkpoint_round:
        found.append(
            "Constants are estimates: the largest gradient of a sample and the outermost curvature that were found at "
            "the models of a few rounds of learning. Nothing bounds them between those rounds, in retraining or while "
            "unlearning; where they are larger, the certificate does not hold."
        )
    if training.checkpoints_sha256:
        found.append(
            "The network learned elsewhere. That its checkpoints are those of the learning described here rests "
            "on the word of its trainer, but for the rounds that were computed again with the data; the folder "
            f"that they come from has the sha256 {training.checkpoints_sha256}."
        )
    if training.public is not None:
        found += training.public.premises
    return (*found, *continuation.premises(training))


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
    if constants.known:
        objective = (
            f"Every sample's loss gradient has norm at most G = {constants.G.value:.6g} and every local objective is "
            f"{constants.L.value:.6g}-smooth: {constants.G.provenance}, for features of norm at most "
            f"{constants.radius.value:g}."
        )
    else:
        objective = f"Nothing is assumed about the gradients and the curvature of the model {constants.model}."
    return [
        objective,
        "Retraining starts from the same initial model and uses the same mixing matrices and random draws, none of "
        "which depend on the data.",
        *_clip_sentences(training),
        _departure_sentence(training),
        "Every node erases its checkpoints and its noise; what peers recorded during learning is not covered.",
    ]


def _clip_sentences(training: TrainingRun) -> list[str]:
    """Return the sentence about the clip of whole clients, if they clip."""
    if training.client_clip is None:
        return []
    return [
        "Every client learns from the Lipschitz envelope of its data loss, whose gradient has norm at most "
        f"C = {training.client_clip:g} whatever its data, and computes it up to {training.clip_tolerance:g}·C, which "
        "is charged."
    ]


def _departure_sentence(training: TrainingRun) -> str:
    """Return the sentence about the departure of the deleting clients."""
    if not training.departed:
        return "The deleting client stays in the network as a relay that holds no deleted data."
    nodes = ", ".join(map(str, training.departed))
    return (
        f"Node {nodes} leaves the network with its data and its model; retraining runs on the network that remains, "
        "with that network's own mixing matrices."
    )


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
    if training.step_sizes:
        sizes = training.step_sizes
        sentences.append(
            f"The size of a local step follows a public schedule, from {sizes[0]:.6g} in the first round to "
            f"{sizes[-1]:.6g} in the last, and every round is bounded with its own."
        )
    error = training.error_of_checkpoint(release.checkpoint_round)
    if error and training.recovery_error:
        sentences.append(
            f"The release began from models of round {release.checkpoint_round} that were recovered from the last. "
            f"Running the rounds again has shown that none is off by more than {error:g}; that is charged everywhere."
        )
    elif error:
        sentences.append(
            f"The release began from models of round {release.checkpoint_round} that were kept in half precision. By "
            f"their norms none is off by more than {error:g}; that is charged everywhere."
        )
    if not doubly_stochastic(training, release):
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
