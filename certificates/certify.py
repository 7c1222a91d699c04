"""From what was done to what may be claimed, and from what is wanted to the noise it takes."""

import hashlib
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
from rewindnet.certificates.certificate import Certificate, Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms import GaussianOutput, epsilon_seen, mechanism_of, to_record
from rewindnet.certificates.release import Release
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.sensitivity.rounding import least_noise
from rewindnet.certificates.training import TrainingRun, Vector
from rewindnet.certificates.views.allocation import noise_shape
from rewindnet.certificates.views.distances import mu_of_view

#: How far a column of a mixing matrix may be from summing to 1.
_BALANCE = 1e-9


def certify(learning: TrainingRun, release: Release, claim: Claim) -> Certificate:
    """What may be claimed for this view of this release.

    Raises:
        CertificateError: if the release, claim or learning is not understood.
    """
    _check(learning, release, claim)
    mechanism = mechanism_of(release)
    noised = mechanism.bounds(learning, release, claim)
    reason = mechanism.why_not_covered(learning, release, claim)
    mu = mechanism.mu(claim.view, noised, release, learning.mixing) if reason is None else inf
    epsilon = inf
    if reason is None:
        epsilon = epsilon_seen(mechanism, mu, claim.view, noised, release, learning.mixing, claim.delta)
    if reason is None and not isfinite(epsilon):
        reason = _unhidden(noised.nodes, release.sigma)
    if reason is None:
        reason = _unresolved(learning, release, noised.nodes)
    return Certificate(
        method=release.method,
        epsilon=epsilon if reason is None else None,
        delta=claim.delta,
        claimed_epsilon=claim.claimed_epsilon,
        claimed_by=claim.claimed_by,
        view=claim.view,
        placement=release.placement,
        bound=claim.bound,
        allocation=claim.allocation,
        regime="nonconvex" if claim.bound == "published" else claim.regime or strongest_regime(learning),
        sensitivity=tuple(noised.nodes.tolist()),
        rounding=tuple(noised.rounding.tolist()),
        shifts=tuple(noised.shifts.tolist()),
        sigma=tuple(release.sigma.tolist()),
        mechanism=to_record(mechanism),
        mu=mu if reason is None else None,
        constants=learning.constants,
        rounds=learning.rounds,
        rewound=learning.rounds - release.checkpoint_round,
        checkpoint_round=release.checkpoint_round,
        descent_rounds=release.descent_rounds,
        gossip_rounds=release.gossip_rounds,
        averaged=release.averaged,
        step_size=learning.step_size,
        local_steps=learning.local_steps,
        order=learning.order,
        noise_source=release.noise_source,
        mixing_sha256=fingerprint(learning, release),
        forget_sha256=learning.forget_sha256,
        # Where nothing can differ, no constant is leaned on.
        conditional=learning.constants.conditional and bool(np.any(noised.nodes > 0) or np.any(noised.shifts > 0)),
        assumptions=_assumptions(learning, release, claim),
        reason=reason,
    )


def _unhidden(sensitivity: Vector, sigma: Vector) -> str:
    """Which node's difference no finite ε covers."""
    if not sensitivity.size:
        return "nothing is known of how far its models are from those of retraining, and no noise hides it"
    if not sensitivity.any():
        added = f"the noise (sigma {float(sigma.max(initial=0.0)):.4g})"
        return f"what {added} is added to on the way may differ by far more than it hides"
    bare = np.where(sigma == 0, sensitivity, 0.0)
    if bare.any():
        node, noise = int(np.argmax(bare)), "no noise"
    else:
        with np.errstate(over="ignore"):
            node = int(np.argmax(sensitivity / np.where(sigma > 0, sigma, 1.0)))
        noise = f"too little noise (sigma {sigma[node]:.4g})"
    return (
        f"node {node} carries {noise}, and its model may still differ from the retrained one "
        f"by up to {sensitivity[node]:.4g}"
    )


def _unresolved(learning: TrainingRun, release: Release, sensitivity: Vector) -> str | None:
    """Why noise so small that the arithmetic rounds it away earns no number."""
    if not sensitivity.size:
        return None
    smallest = least_noise(learning, release.noise_round)
    drowned = (sensitivity > 0) & (release.sigma > 0) & (release.sigma < smallest)
    if not drowned.any():
        return None
    node = int(np.argmax(drowned))
    return (
        f"the noise of node {node} (sigma {release.sigma[node]:.4g}) is too small for the arithmetic to carry; "
        f"it takes at least {smallest:.4g} here"
    )


def _check(learning: TrainingRun, release: Release, claim: Claim) -> None:
    if learning.departed and release.averaged:
        raise CertificateError("the view average is that of a network that stays whole; with departure leave use joint")
    if np.shape(release.sigma) != (learning.mixing.nodes,):
        raise CertificateError(f"sigma must have one entry for each of {learning.mixing.nodes} nodes")
    learning.check_view(claim.view)


def calibrate(learning: TrainingRun, release: Release, claim: Claim, epsilon: float) -> Vector:
    """The noise σ [N] that reaches (ε, δ) for the claim's view; `release.sigma` is ignored.

    The bound `published` takes the noise as its paper does (`textbook_sigma` of the sensitivity).

    Raises:
        CertificateError: if ε is out of range or no noise can reach it for this view.
    """
    check_epsilon(epsilon)
    _check(learning, release, claim)
    mechanism = GaussianOutput()
    noised = mechanism.bounds(learning, release, claim).nodes
    if not np.any(noised > 0):
        return np.zeros_like(noised)
    reason = mechanism.why_not_covered(learning, release, claim)
    if reason is not None:
        raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {reason}")
    unit = noise_shape(claim.view, claim.allocation, noised, release, learning.mixing) * learning.present
    reach = mu_of_view(claim.view, noised, replace(release, sigma=unit), learning.mixing)
    if claim.bound == "published":
        return unit * reach * textbook_sigma(epsilon, claim.delta)
    # A hair more noise than the boundary asks for, so that the certificate of the rounded σ still reads ε.
    return unit * (reach / mu_of(epsilon, claim.delta)) * (1 + 1e-12)


def scaled_noise(learning: TrainingRun, release: Release, claim: Claim, sigma: float) -> Vector:
    """The noise σ [N] of a given size (root mean square over nodes), allocated as the claim asks.

    Raises:
        CertificateError: if sigma is negative or not finite, or the claim is not understood.
    """
    _check(learning, release, claim)
    if not (isfinite(sigma) and sigma >= 0):
        raise CertificateError(f"sigma must be a non-negative number, not {sigma}")
    noised = GaussianOutput().bounds(learning, release, claim).nodes
    shape = noise_shape(claim.view, claim.allocation, noised, release, learning.mixing) * learning.present
    return shape * (sigma / sqrt(float(np.mean(shape**2))))


def claimed_epsilon(learning: TrainingRun, release: Release, claim: Claim) -> float | None:
    """The ε that the bound's own paper would print for this release; None if that is no number."""
    noised = GaussianOutput().bounds(learning, release, claim).nodes
    mu = mu_of_view(claim.view, noised, release, learning.mixing)
    if claim.bound == "published" and 0 < mu < inf:
        claimed = textbook_epsilon(1 / mu, claim.delta)
    else:
        claimed = epsilon_of(mu, claim.delta)
    return claimed if isfinite(claimed) else None


def least_depth(
    learning: TrainingRun,
    candidates: Sequence[int],
    release_of: Callable[[int], Release],
    claim: Claim,
    epsilon: float,
) -> int:
    """The smallest candidate depth whose release, with the noise it carries, is certified at ε or better.

    Args:
        learning: how the network learned.
        candidates: numbers of rounds to rewind (or to descend), increasing.
        release_of: what would be done for a candidate.
        claim: for whom.
        epsilon: the ε to reach.

    Raises:
        CertificateError: if no candidate reaches ε.
    """
    best: float | None = None
    for rounds in candidates:
        reached = certify(learning, release_of(rounds), claim).epsilon
        if reached is not None and reached <= epsilon:
            return rounds
        best = reached if best is None or (reached is not None and reached < best) else best
    closest = "none gets a number" if best is None else f"the best reaches epsilon {best:.4g}"
    raise CertificateError(
        f"no depth from {candidates[0]} to {candidates[-1]} rounds reaches epsilon {epsilon:g} "
        f"with this sigma; {closest}"
    )


def _departure(learning: TrainingRun) -> str:
    if not learning.departed:
        return "The deleting client stays in the network as a relay that holds no deleted data."
    nodes = ", ".join(map(str, learning.departed))
    return (
        f"Node {nodes} leaves the network with its data and its model; retraining runs on the network that remains, "
        "with that network's own mixing matrices."
    )


def _rounds(release: Release) -> int:
    """How many rounds of the network a release has run through, with those of learning that it took part in."""
    noised = max((round + 1 for round, _ in mechanism_of(release).events), default=0)
    return max(release.checkpoint_round + release.descent_rounds + release.gossip_rounds, noised)


def _balanced(learning: TrainingRun, release: Release) -> bool:
    """Whether every mixing matrix on the way has columns that sum to 1."""
    previous = None
    for t in range(_rounds(release)):
        W = learning.mixing.matrix(t)
        if W is not previous and np.abs(np.asarray(W.sum(axis=0)) - 1).max() > _BALANCE:
            return False
        previous = W
    return True


def fingerprint(learning: TrainingRun, release: Release) -> str:
    """sha256 of every mixing matrix that the certificate ran through."""
    digest = hashlib.sha256()
    previous = None
    for t in range(_rounds(release)):
        W = learning.mixing.matrix(t)
        if W is not previous:
            previous, block = W, _bytes(W)
        digest.update(block)
        if learning.mixing_before is not None:
            digest.update(_bytes(learning.mixing_before.matrix(t)))
    return digest.hexdigest()


def _bytes(W: object) -> bytes:
    matrix = W.tocsr()  # type: ignore[attr-defined]
    matrix.sort_indices()
    parts = (matrix.indptr.astype("<i8"), matrix.indices.astype("<i8"), matrix.data.astype("<f8"))
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()


def _assumptions(learning: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
    constants = learning.constants
    said = [
        f"Every sample's loss gradient has norm at most G = {constants.G.value:.6g} and every local objective is "
        f"{constants.L.value:.6g}-smooth: {constants.G.provenance}, for features of norm at most "
        f"{constants.radius.value:g}.",
        "Retraining starts from the same initial model with the same mixing matrices and coins, none drawn from data.",
        _departure(learning),
        "Every node erases its checkpoints and its noise; what peers recorded during learning is not covered.",
    ]
    said += mechanism_of(release).assumptions(learning, release, claim)
    if claim.bound == "instance":
        said.append(
            "The noise level was measured on the data; what it, or a depth chosen by it, reveals is not covered."
        )
    if claim.bound == "published":
        said.append("The published sensitivity knows no topology; claimed epsilon is by the paper's own formula.")
    if learning.batches is not None:
        said.append(
            "Minibatches are drawn by each sample's own coins, and the certificate is conditional on the coins drawn."
        )
    if not _balanced(learning, release):
        said.append(
            "Mixing matrices are not doubly stochastic: the network average is no longer what the clients' objectives "
            "pull equally at, and nothing here says that it is; the certificate holds for such matrices as well."
        )
    if learning.arithmetic is None:
        said.append("The arithmetic is exact; nothing is charged for rounding.")
    else:
        u = learning.arithmetic.unit_roundoff
        said.append(f"Rounding with unit roundoff {u:.3g} is charged by worst-case bounds on the sums that are taken.")
    said.append("This release is the only one of this deletion; several releases together tell more than each alone.")
    if release.noise_source == "seed":
        said.append("Simulation only: the noise is drawn from the seed, and whoever has the seed can subtract it.")
    return tuple(said)
