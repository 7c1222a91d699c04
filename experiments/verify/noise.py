"""Verify the noise of a release: draw it again from its address, and compare it with the stored weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Certificate, Release, TrainingRun
from rewindnet.certificates.findings import OnRecord, Unchecked
from rewindnet.certificates.healing import settle_weights
from rewindnet.clients.training.noise import draw
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.records import (
    UNIT_ROUNDOFF,
    certificate_of,
    demand,
    noise_address_of,
    request_suffix_of,
)
from rewindnet.experiments.verify.weights import stored_release

Weights = NDArray[Any]


def check_noise(folder: RunFolder, training: TrainingRun, index: int) -> str:
    """Draw the noise of a release again, and follow it from the centre as far as the records allow.

    Args:
        folder: the run folder.
        training: how the network learned up to the request that the release answers.
        index: the number of the release.

    Returns:
        A sentence about what was checked, or why nothing was.

    Raises:
        MismatchError: if the stored weights are not the centre plus this noise.
    """
    claimed = certificate_of(folder.methods[index])
    release = claimed.release
    if not len(release.mechanism.additions(training, release)):
        return "none claimed"
    if release.noise_source != "seed":
        return Unchecked("from the operating system, so it cannot be drawn again")
    if not release.adds_one_vector:
        return Unchecked("added during the rounds, which takes the data to follow")
    stored = stored_release(folder, index)
    if stored is None:
        return Unchecked("weights were not kept")
    centre, noised, _ = stored
    _check_draws(folder, claimed, centre, noised, index)
    if not release.mechanism.plain_descent:
        return f"centre + noise of the certificate, drawn again, is what {claimed.method} continued from"
    use = "descended from" if release.placement == "rewind" and release.descent_rounds else "released"
    return f"centre + noise of the certificate, drawn again, is what was {use}"


def check_released(folder: RunFolder, training: TrainingRun, index: int) -> str:
    """Follow the released models from the checkpoint through the noise, as far as that takes no data.

    Args:
        folder: the run folder.
        training: how the network learned up to the request that the release answers.
        index: the number of the release.

    Returns:
        A sentence about what was checked, or why nothing was.

    Raises:
        MismatchError: if the stored weights are not what follows from the others.
    """
    claimed = certificate_of(folder.methods[index])
    release = claimed.release
    stored = stored_release(folder, index)
    if stored is None:
        return Unchecked("weights were not kept")
    centre, noised, released = stored
    _check_start(folder, index)
    _check_centre(folder, claimed, centre, index)
    _check_forgotten(folder, training, index, (centre, released) if release.mechanism.plain_descent else (released,))
    if not release.mechanism.plain_descent:
        return OnRecord(f"the steps of {claimed.method} need the data, so its models are on the record's word")
    if release.placement == "rewind" and release.descent_rounds:
        return OnRecord("the descent after the noise needs the data, so its models are on the record's word")
    _check_gossip(folder, claimed, training, noised, released)
    if 0 < release.descent_rounds < training.rounds or release.averaged:
        return OnRecord("they follow from the centre; the descent before it needs the data and is on the record's word")
    return "they follow from the centre, which is what the checkpoints make it"


def _check_start(folder: RunFolder, index: int) -> None:
    """Check that learning went on from the models that the method released before, where it did."""
    if not folder.branch_of(index):
        return
    methods, rounds = len(folder.scenario["unlearning"]), folder.learning["requests"]
    start = int(rounds[folder.request_of(index) - 1]["rounds"])
    begun = folder.weights(folder.learned_array(index, start))
    released = folder.weights(f"{folder.methods[index - methods].place}/released")
    demand(
        begun is None or released is None or bool(np.array_equal(begun, released)),
        f"learning did not go on from what the method released after round {start}",
    )


def _check_centre(folder: RunFolder, claimed: Certificate, centre: Weights, index: int) -> None:
    """Check the centre of a plain descent where it must equal a stored checkpoint.

    Without rounds before the noise, it is the checkpoint of learning; after a descent from round 0, it is that of
    retraining.
    """
    release = claimed.release
    if not release.mechanism.plain_descent or release.averaged:
        return
    learned = folder.weights(folder.learned_array(index, release.checkpoint_round))
    if learned is not None and release.noise_round == release.checkpoint_round:
        learned[folder.topology["departed"]] = 0.0
        demand(bool(np.array_equal(centre, learned)), "the centre is not the checkpoint that the method started from")
    suffix = request_suffix_of(folder, index)
    retrained = folder.weights(f"checkpoints/retrained{suffix}-{release.noise_round:06d}")
    from_start = release.checkpoint_round == 0 and release.noise_round == (
        release.healing.after or release.descent_rounds
    )
    if retrained is not None and from_start:
        demand(bool(np.array_equal(centre, retrained)), "a descent from the start is not what retraining gave")


def _check_forgotten(folder: RunFolder, training: TrainingRun, index: int, models: Sequence[Weights]) -> None:
    """Check that a method that took rounds without the forget set did not keep the models that have learned it.

    They may be the same where retraining gives these models, too, and where the rounds of unlearning are those of
    learning: minibatches and schedules may be such that no local step in them reads the forget set, or any sample.
    """
    release, suffix = certificate_of(folder.methods[index]).release, request_suffix_of(folder, index)
    learned = folder.weights(folder.learned_array(index, training.rounds))
    retrained = folder.weights(f"checkpoints/retrained{suffix}-{training.rounds:06d}")
    if learned is None or retrained is None or np.array_equal(learned, retrained) or not release.descent_rounds:
        return
    if not _takes_other_steps(training, release):
        return
    # Noise before the descent is added to a checkpoint, which may be that of the last round.
    models = models[-1:] if release.noise_round == release.checkpoint_round else models
    kept = any(np.array_equal(theta, learned) for theta in models)
    demand(
        not kept, f"{release.method} took rounds of unlearning, but its models are those that have forgotten nothing"
    )


def _takes_other_steps(training: TrainingRun, release: Release) -> bool:
    """Return whether the rounds of a descent compute what learning did not: without the forget set, or beyond it."""
    if training.departed:
        return True
    start, end = release.checkpoint_round, release.checkpoint_round + release.descent_rounds
    again, further = range(start, min(end, training.rounds)), range(max(start, training.rounds), end)
    read = any(bool((training.gradients(t, False) != training.gradients(t, True)).any()) for t in again)
    return read or any(bool(training.gradients(t, True).any()) for t in further)


def _check_draws(folder: RunFolder, claimed: Certificate, centre: Weights, noised: Weights, index: int) -> None:
    """Check that the noised models are the centre plus noise drawn from its address, up to rounding."""
    release, expected = claimed.release, centre.astype(np.float64)
    address, roundoff = noise_address_of(folder, index), _roundoff(folder)
    for node, sigma in enumerate(release.sigma):
        drawn = sigma * draw(expected.shape[1], address, 0 if release.shares_noise else node)
        off = float(np.abs(expected[node] + drawn - noised[node]).max())
        demand(
            off <= 8 * roundoff * (float(np.abs(expected[node]).max()) + float(np.abs(drawn).max())),
            f"the models of node {node} are not centre + noise: off by up to {off:.3g}",
        )


def _check_gossip(
    folder: RunFolder, claimed: Certificate, training: TrainingRun, noised: Weights, released: Weights
) -> None:
    """Check that the released models are the noised models after the gossip rounds, up to rounding."""
    release = claimed.release
    theta = before = noised.astype(np.float64)
    for t, weight in zip(release.settling, settle_weights(release.healing.spectrum), strict=False):
        before, theta = theta, weight * (training.mixing.matrix(t) @ theta) + (1 - weight) * before
    if release.healing.radius is not None:
        norms = np.linalg.norm(theta, axis=1, keepdims=True)
        theta = theta * np.minimum(1, release.healing.radius / np.maximum(norms, 1e-300))
    for t in range(release.settling.stop, release.gossip.stop):
        theta = training.mixing.matrix(t) @ theta
    noised = theta
    scale = float(np.abs(noised).max()) * training.mixing.nodes * (release.rounds_after_noise + 1)
    demand(
        bool(np.abs(noised - released).max() <= 8 * _roundoff(folder) * scale),
        "the released models are not the noised ones after the gossip rounds",
    )


def _roundoff(folder: RunFolder) -> float:
    """Return the unit roundoff of the floating-point type of the run."""
    return UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
