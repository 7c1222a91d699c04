"""Learning that goes on from released models after a request: what it takes, and what certificates then say.

Proof: Theorem 12a of docs/certificates.md. A release whose noise hides the deletion in the models of all nodes together
hides it in everything that is computed from them later. For a later request, the earlier releases are a part of how the
network learned: their noise is the same vector in both coupled runs, so it leaves the distance between them as it is,
and only the rounding and the size of the models tell of it.
"""

from dataclasses import replace
from typing import Literal

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.measurements import EarlierRelease
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun

#: How learning goes on after a request: from its own models, which carry no noise, or from the released ones.
AfterRequest = Literal["continue-unnoised", "continue-from-release"]

#: The views that show the released models of all nodes.
_ALL_NODES = ("joint", "transcript:all")


def go_on(next_run: TrainingRun, training: TrainingRun, release: Release, claim: Claim) -> TrainingRun:
    """Return how the network had learned when the next request arrived, where it went on from a release.

    Args:
        next_run: how the network learns up to the next request, were it not for releases.
        training: how it learned up to the request that the release answers.
        release: what the unlearning method did.
        claim: the guarantee of the release.

    Raises:
        CertificateError: if learning cannot go on from such a release.
    """
    check_release(replace(training, continued=True, from_release=True), release, claim)
    start = release.checkpoint_round
    starts = [*(min(earlier, start) for earlier, _ in training.earlier_deletions), start]
    counts = [taken for _, taken in next_run.earlier_deletions]
    # A release that went back to the initial model has left the noise of the releases before it behind.
    before = training.earlier_releases if start else ()
    size = float(release.sigma.max(initial=0.0))
    return replace(
        next_run,
        ledger=None,
        batches=next_run.batches and next_run.batches.without_from(starts),
        earlier_deletions=tuple(zip(starts, counts, strict=True)),
        earlier_releases=(*before, EarlierRelease(training.rounds, release.noise_round, size)),
    )


def check_release(training: TrainingRun, release: Release, claim: Claim) -> None:
    """Refuse a release where learning goes on, or went on, from releases and no certificate would hold.

    Args:
        training: how the network learned; nothing is refused where learning went on without noise.
        release: what the unlearning method did.
        claim: the guarantee that is asked for.

    Raises:
        CertificateError: saying what does not fit.
    """
    if not (training.from_release or training.earlier_releases):
        return
    problem = _unfit_method(training, release, claim) or _unfit_start(training, release)
    if problem is None and training.from_release:
        problem = _unfit_to_go_on(training, release, claim)
    if problem is not None:
        raise CertificateError(f"learning.after_request continue-from-release: {release.method} {problem}")


def _unfit_method(training: TrainingRun, release: Release, claim: Claim) -> str | None:
    """Return why the mechanism, the bound or the constants of a release do not fit; None if they do."""
    if not release.mechanism.plain_descent:
        return (
            "does not add its noise once, to a checkpoint or to the result of a plain descent, and nothing is proven "
            "here of learning that goes on from such a release; use r2d, noise-only or retrain"
        )
    if training.mixing_before is not None and any(earlier.sigma for earlier in training.earlier_releases):
        return (
            "would answer a departure after a release with noise, and the bound on the change of the network assumes "
            "models inside the ball onto which clients project, which that noise leaves; use deletion.departure: relay"
        )
    if training.constants.estimated:
        return (
            "has noise whose level follows from constants that were estimated from data, which a later request may "
            "delete; use features of a proven norm, such as unit-norm, and a model with proven constants"
        )
    if claim.bound != "worst-case":
        return (
            f"has the bound {claim.bound}, but the noise of one release must not depend on data that a later request "
            "deletes; use bound: worst-case"
        )
    return None


def _unfit_start(training: TrainingRun, release: Release) -> str | None:
    """Return why a release may not begin at its checkpoint; None if it may."""
    latest = max((earlier.round for earlier in training.earlier_releases), default=0)
    if 0 < release.checkpoint_round < latest:
        return (
            f"would rewind to round {release.checkpoint_round}, past its release after round {latest}, to models that "
            f"know what had been deleted by then; rewind to round {latest} or later, or to the initial model"
        )
    return None


def _unfit_to_go_on(training: TrainingRun, release: Release, claim: Claim) -> str | None:
    """Return why learning cannot go on from a release; None if it can."""
    if release.checkpoint_round + release.descent_rounds != training.rounds:
        return (
            f"releases models of round {release.checkpoint_round + release.descent_rounds}, and learning goes on from "
            f"round {training.rounds}"
        )
    if release.gossip_rounds:
        return f"adds {release.gossip_rounds} gossip rounds, with which learning has not come further; use none"
    if release.healing:
        return f"heals otherwise than learning descends ({release.healing.words()}), and learning goes on as it was"
    if not release.sigma.any():
        return None
    if release.noise_source != "seed":
        return (
            "draws its noise from the operating system, and the retraining of a later request needs the same noise; "
            "use noise_source: seed"
        )
    if release.averaged or str(claim.view) not in _ALL_NODES:
        return (
            f"is certified for the view {claim.view}, but peers go on to exchange the models of all nodes; use view: "
            "joint or view: transcript:all"
        )
    return None


def premises(training: TrainingRun) -> tuple[str, ...]:
    """Return the premises of a certificate that concern what peers see of learning before and after the request.

    Args:
        training: how the network learned up to the request, and whether learning goes on.
    """
    sentences = []
    if training.from_release:
        sentences.append(
            "Learning goes on after this request from the released models, and what peers see from then on is within "
            "the guarantee; what they saw of learning before it is outside, and so are later requests that were chosen "
            "by that."
        )
    elif training.continued:
        sentences.append(
            "Learning goes on after this request from models that carry no noise and know the deleted data; what peers "
            "see of learning, before or after the request, is outside the guarantee."
        )
    if training.earlier_releases:
        rounds = ", ".join(str(earlier.round) for earlier in training.earlier_releases)
        sentences.append(
            f"Learning had gone on from released models after round {rounds}; these releases, and what peers saw of "
            "learning up to this request, know the data that this request deletes and are outside the guarantee."
        )
    return tuple(sentences)


def reference(training: TrainingRun, release: Release) -> str:
    """Return the end of the sentence that names the reference process, where learning went on from releases.

    Args:
        training: how the network learned up to the request.
        release: what the unlearning method did; from the initial model, it leaves the noise of earlier releases behind.
    """
    if not release.checkpoint_round or not any(earlier.sigma for earlier in training.earlier_releases):
        return ""
    return " Retraining adds the noise of earlier releases, of the same level and the same draw, where they added it."
