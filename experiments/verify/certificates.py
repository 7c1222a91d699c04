"""Verify a certificate: derive it again, and check it against the settings and the recorded cost."""

from collections.abc import Mapping
from math import isclose, sqrt
from typing import Any

import numpy as np

from rewindnet.certificates import Certificate, Release, TrainingRun, certify
from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.findings import OnRecord
from rewindnet.clients.methods import Method
from rewindnet.experiments.folder.reader import MethodRecords, RunFolder
from rewindnet.experiments.verify.phases import cost_of_replay
from rewindnet.experiments.verify.plans import check_plan, method_of, settings_of
from rewindnet.experiments.verify.records import TOLERANCE, certificate_of, demand, same, short


def check_certificate(folder: RunFolder, training: TrainingRun, index: int) -> str:
    """Certify the recorded release again, and compare every field of the certificate.

    Args:
        folder: the run folder.
        training: how the network learned up to the request that the release answers.
        index: the number of the release.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a field does not follow from the records, or the settings ask for something else.
    """
    records, method = folder.methods[index], method_of(folder, index)
    claimed, settings = certificate_of(records), settings_of(folder, index)
    _check_claim(claimed, settings)
    _check_depth(claimed, method)
    _check_target(claimed, settings)
    _check_cost(records, claimed, training, cost_of_replay(folder, training, claimed.release.checkpoint_round))
    method.check_certificate(claimed, training, records.metrics["cost"])
    derived = certify(training, claimed.release, claimed.claim).to_record()
    for name, value in claimed.to_record().items():
        demand(
            same(value, derived[name]), f"{name} is recorded as {short(value)} and follows as {short(derived[name])}"
        )
    check_plan(method, claimed, training)
    if claimed.epsilon is None:
        sentence = f"rightly claims nothing: {claimed.reason}"
    else:
        pair = f"({rounded_up(claimed.epsilon, 6)}, {claimed.delta:g})"
        sentence = f"{pair} for the view {claimed.view} follows from the records"
    if not claimed.release.mechanism.measured:
        return sentence
    return OnRecord(f"{sentence}; what {claimed.method} measured, and its noise, are on the record's word")


def _check_claim(claimed: Certificate, settings: Mapping[str, Any]) -> None:
    """Check that a certificate is of the method, view, bound and noise that the settings ask for."""
    demand(claimed.method == settings["method"], f"the scenario asked for {settings['method']}")
    release, claim = claimed.release, claimed.claim
    certified = {
        "view": str(claim.view),
        "delta": claim.delta,
        "bound": claim.bound,
        "placement": release.placement,
        "allocation": claim.allocation,
        "gossip_rounds": release.gossip_rounds,
        "noise_source": release.noise_source,
        "settle_first": release.healing.settle_first,
        "settle_radius": release.healing.radius,
        "descent_clip": release.healing.clip,
        "descent_step_size": release.healing.step_size,
        "descent_momentum": release.healing.momentum,
    }
    if settings.get("regime") is not None and claim.bound != "published":
        certified["regime"] = claim.regime
    for name, value in certified.items():
        # What is chosen is derived again with the plan.
        if settings.get(name, "auto") != "auto":
            demand(value == settings[name], f"{name} was asked to be {settings[name]}, not {value}")


def _check_depth(claimed: Certificate, method: Method) -> None:
    """Check the checkpoint and the rounds of descent where the settings give them."""
    depth, release = method.requested_depth(claimed.training.rounds), claimed.release
    if depth is not None:
        demand(
            (release.checkpoint_round, release.descent_rounds) == depth,
            f"it was asked to restore and descend {depth} rounds",
        )


def _check_target(claimed: Certificate, settings: Mapping[str, Any]) -> None:
    """Check that a certificate reaches the ε that the settings ask for, and that its noise has the σ they give."""
    target, claim = settings.get("epsilon"), claimed.claim
    if target is not None and claim.claimed_by is not None:
        epsilons = (claim.claimed_epsilon, claimed.epsilon)
        demand(
            any(epsilon is not None and epsilon <= target * (1 + TOLERANCE) for epsilon in epsilons),
            f"epsilon {target} was asked for, {claim.claimed_epsilon} claimed, {claimed.epsilon} certified",
        )
    elif target is not None and claim.bound != "published":
        reached = claimed.epsilon is not None and claimed.epsilon <= target * (1 + TOLERANCE)
        demand(reached, f"epsilon {target} was asked for and {claimed.epsilon} is certified")
    if settings.get("sigma") is not None and claimed.release.mechanism.plain_descent:
        size = sqrt(float(np.mean(np.square(claimed.release.sigma))))
        wanted = settings["sigma"]
        demand(isclose(size, wanted, rel_tol=1e-6), f"sigma {wanted} was asked for, not {size:.6g}")


def _check_cost(method: MethodRecords, claimed: Certificate, training: TrainingRun, replay: Mapping[str, int]) -> None:
    """Check the recorded cost against the rounds that the certificate states.

    Only the certificate of a plain descent states which rounds were run; the cost of other mechanisms is not checked
    here.

    Args:
        method: the records of the release.
        claimed: its certificate.
        training: how the network learned.
        replay: what it took to get at the checkpoint that the release begins from.
    """
    release = claimed.release
    if not release.mechanism.plain_descent:
        return
    N, start = training.mixing.nodes, release.checkpoint_round
    rounds = release.gossip.stop - start
    matrices = [training.mixing.matrix(t) for t in range(start, start + rounds)]
    messages = sum(int(W.nnz - np.count_nonzero(W.diagonal())) for W in matrices)
    expected = {
        "rounds": rounds + release.averaged,
        "messages": messages + release.averaged * N * (N - 1),
        "gradients": sum(int(training.gradients(t, True).sum()) for part in release.descended for t in part),
    }
    expected = {name: of_release + replay[name] for name, of_release in expected.items()}
    cost, clips = method.metrics["cost"], training.client_clip is not None and _clips(release)
    # Runs of earlier versions count the evaluations of inner problems among the gradients, and no gossip rounds.
    evaluated = "evaluations" if "evaluations" in cost else "gradients"
    if not any(replay.values()):
        idle = sum(not training.gradients(t, True).any() for part in release.descended for t in part)
        expected["gossip_rounds"] = len(release.settling) + len(release.gossip) + release.averaged + idle
    if clips:
        # To clip is to solve a problem, in as many evaluations of the gradient as it takes.
        fewest = expected["gradients"]
        demand(cost[evaluated] >= fewest, f"{cost[evaluated]} {evaluated} are fewer than one of each sample and round")
    else:
        expected["evaluations"] = expected["gradients"]
    if clips and evaluated == "gradients":
        del expected["gradients"]
    for name, value in expected.items():
        counted = cost.get(name, value)
        demand(counted == value, f"{counted} {name} were counted; the rounds of the certificate take {value}")


def _clips(release: Release) -> bool:
    """Return whether some of the rounds of a plain descent clip whole clients, where learning did."""
    if release.placement == "output" or release.healing.clip:
        return release.descent_rounds > 0
    return len(release.approach) > 0
