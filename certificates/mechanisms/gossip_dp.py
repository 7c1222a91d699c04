"""Decentralized differentially private learning: noise at every node in every round, so that a request needs no more.

**Algorithm.** A round is θ_i ← Σ_j W_ij·(θ_j − η(clip(∇f_j(θ_j); C) + Z_j)) with Z_j ~ N(0, σ²·I).

**Shifts.** All distances are in the units of a gradient, that is, divided by η. Clipping projects onto a ball and is
1-Lipschitz. So the value to which the deleting node adds its noise differs by no more than its gradient does, and by no
more than the diameter of the ball: by at most min(2C, 2mG/n) where m of n samples are deleted, or min(2C, G) where all
are.

**Views.** A view of every message is the adaptive composition of all noised gradients, μ² = Σ_t Σ_u (Δ_u/σ)², with Δ_u
the shift of the deleting node u (Dong, Roth and Su 2022, Cor. 3.3). Views of fewer messages need less noise;
`mechanisms.absorption` has the bound and its proof. The single model with the weakest guarantee is bounded by all
models together or by the light cone with the largest μ; the single peer with the weakest guarantee is bounded by that
light cone.

**Models without known constants.** Clipping bounds every shift by 2C whatever the gradients, and by C where all of a
node's samples are deleted and there is no l2 term. The composition and the light cones take nothing else; absorption,
which takes γ, is not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.additions import Additions
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.absorption import NetworkRounds, final_messages, least_mu, received_messages
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.mechanisms.gossip_rounding import (
    largest_norm,
    rounding_at_one_point,
    rounding_between_points,
)
from rewindnet.certificates.mechanisms.private_learning import (
    FIXED_REQUEST,
    UNLIKELY,
    Design,
    changed_gradient,
    clipped_growth,
    deletes_all,
    design_sentence,
    least_resolved_sigma,
    unresolved_noise,
)
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cones_backwards


@dataclass(frozen=True)
class GossipDP(Mechanism):
    """Clipped gradients with fresh noise at every participating node in every round of learning.

    Attributes:
        rounds: T.
        nodes: the deleting nodes.
        clip: C.
        growth: γ, the Lipschitz constant of a local step with its clipping; None where the constants of the model are
            not known, and only the clipping bounds a difference.
        rounding: what rounding may add in a round between two runs that already differ, divided by η; 0 without γ.
        level: the highest level of absorption that is tried (`least_mu`); every value gives a valid μ.
        designed_for: the request that the noise was designed for, before any request; None where σ was given.
    """

    rounds: int
    nodes: tuple[int, ...]
    clip: float
    growth: float | None
    rounding: float
    level: float
    designed_for: Design | None = None

    kind: ClassVar[str] = "gossip-dp"
    noise_label: ClassVar[str] = "every round"

    @classmethod
    def of(cls, training: TrainingRun, clip: float, sigma: float) -> "GossipDP":
        """Return the mechanism of a network that learns in this way.

        Args:
            training: how the network learned, and what was deleted.
            clip: C.
            sigma: σ, the standard deviation of the noise on a gradient.

        Raises:
            CertificateError: if the network cannot learn in this way.
        """
        _check_training(training)
        if not 0 < clip < inf:
            raise CertificateError(f"clip must be a positive number, not {clip}")
        known = training.constants.known
        return cls(
            rounds=training.rounds,
            nodes=tuple(np.flatnonzero(training.deleted).tolist()),
            clip=clip,
            growth=clipped_growth(training, clip, training.step_size) if known else None,
            rounding=rounding_between_points(training, clip, sigma) if known else 0.0,
            level=float(shift_bounds(training, clip).max()) + rounding_at_one_point(training, clip, sigma),
        )

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """Every round of every deleting node."""
        return tuple((t, node) for t in range(self.rounds) for node in self.nodes)

    def additions(self, training: TrainingRun, release: Release) -> Additions:
        """Return noise η·σ in every round at every participating node."""
        participating = [participating_or_all(training.mixing, t) for t in range(self.rounds)]
        sizes = np.reshape(participating, (self.rounds, training.mixing.nodes)) * training.step_size * release.sigma
        return Additions.of(np.arange(self.rounds), sizes)

    def learning_not_covered(self, training: TrainingRun, release: Release) -> None:
        """Return None: it learns by itself, in steps of its own."""

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return no divergence at the start, and in every round what clipping, the constants and rounding allow.

        Raises:
            CertificateError: if the mechanism is not that of this training run.
        """
        sigma = float(release.sigma.max())
        expected = GossipDP.of(training, self.clip, sigma)
        same_setup = (self.rounds, self.nodes) == (expected.rounds, expected.nodes)
        understated = (self.growth is None) != (expected.growth is None) or (
            self.growth is not None and expected.growth is not None and self.growth < expected.growth * (1 - 1e-12)
        )
        if not same_setup or understated or self.rounding < expected.rounding * (1 - 1e-9):
            raise CertificateError(
                f"the noise of every round is described as {self}, but for this training run it is {expected}"
            )
        if np.any(release.sigma != sigma) or (
            release.checkpoint_round,
            release.descent_rounds,
            release.gossip_rounds,
        ) != (0, 0, 0):
            raise CertificateError("noise of every round is the same at all nodes and begins with learning")
        nodes, rounding = list(self.nodes), rounding_at_one_point(training, self.clip, sigma)
        largest_shift = shift_bounds(training, self.clip)[nodes] + rounding
        shifts = [largest_shift * participating_or_all(training.mixing, t)[nodes] for t in range(self.rounds)]
        zero = np.zeros(training.mixing.nodes)
        return DivergenceBounds(zero, zero, np.concatenate(shifts))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of the view, from the composition of all noised gradients or from their absorption."""
        shift = np.zeros((self.rounds, mixing.nodes))
        shift[:, list(self.nodes)] = bounds.shifts.reshape(self.rounds, len(self.nodes))
        if not shift.any():
            return 0.0
        kind, node = view.kind, view.within(mixing.nodes).node
        if kind == "transcript:all":
            return _composed_mu(shift, release.sigma)
        if node is None and (kind == "transcript" or (kind == "node" and self.growth is None)):
            return _worst_cone(shift, release.sigma, mixing)
        if self.growth is None:
            return _composed_mu(shift, release.sigma)
        network = NetworkRounds(self.rounds, self.growth, self.rounding, release.sigma, mixing)
        if node is not None:
            in_view = final_messages(network, [node]) if kind == "node" else received_messages(network, node)
            return least_mu(shift, in_view, network, self.level)
        joint = least_mu(shift, final_messages(network, range(mixing.nodes)), network, self.level)
        return min(joint, _worst_cone(shift, release.sigma, mixing)) if kind == "node" else joint

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason where there is no noise, or where the arithmetic does not resolve it."""
        sigma = float(release.sigma.max())
        if sigma == 0:
            return "learning added no noise to its gradients"
        norm = largest_norm(training, self.clip, sigma)
        return unresolved_noise(training, claim.delta, training.step_size * sigma, norm, "a round")

    def noise_vectors(self, release: Release) -> int:
        """Return one vector for every node in every round."""
        return self.rounds * super().noise_vectors(release)

    def least_sigma(self, training: TrainingRun, release: Release) -> float:
        """Return the smallest σ that the arithmetic resolves in a round."""
        return least_resolved_sigma(
            training, training.step_size, lambda sigma: largest_norm(training, self.clip, sigma)
        )

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what is covered and what is assumed."""
        sentences = [
            "Learning itself added the noise, so the messages of learning that are in the view are covered; an "
            "observing node knows its own noise but not that of the deleting client.",
            f"Every participating node clips its gradient to norm {self.clip:.6g}"
            + ("." if self.growth is None else f"; a local step is {self.growth:.6g}-Lipschitz."),
        ]
        if training.arithmetic is not None:
            sentences.append(
                "A client that has erased samples computes the gradients of its retained samples in the same way as "
                "before; rounding is charged except for noise so large that its probability is below "
                f"{UNLIKELY:g}."
            )
        return tuple(sentences)

    def premises(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return that neither the request may depend on the noise nor the level of the noise on the request."""
        return (FIXED_REQUEST, design_sentence(training, self.designed_for))

    def describe(self, release: Release, rounds: int) -> str:
        """Return that learning itself added the noise."""
        return (
            f"had learned with {noise_size(release)} on every clipped gradient from the start, so nothing was left "
            "to do"
        )


def shift_bounds(training: TrainingRun, clip: float) -> Vector:
    """Return Δ [N], a bound on how much every node's clipped gradient may change in exact arithmetic.

    Args:
        training: how the network learned, and what was deleted.
        clip: C.
    """
    # Without data and regularisation the gradient of one of the two runs is 0.
    widest = np.where(deletes_all(training) & (training.constants.l2.value == 0), clip, 2 * clip)
    return np.asarray(np.minimum(changed_gradient(training), widest))


def _check_training(training: TrainingRun) -> None:
    """Refuse a network that cannot learn in this way."""
    if training.local_steps != 1:
        raise CertificateError(
            f"noise in every round of learning takes one local step a round, not {training.local_steps}: set "
            "learning.local_steps to 1"
        )
    if training.batches is not None:
        raise CertificateError("noise in every round of learning takes full gradients: set learning.sampling to full")
    if training.departed:
        raise CertificateError(
            "noise in every round of learning covers clients that stay as a relay: set deletion.departure to relay"
        )
    if training.earlier_deletions:
        raise CertificateError(
            "noise in every round of learning answers one request, at the end of learning; earlier deletions during "
            "learning are not supported"
        )


def participating_or_all(mixing: Mixing, round: int) -> NDArray[np.bool_]:
    """Return the mask [N] of the nodes that participate in a round.

    Args:
        mixing: the mixing matrices of the network.
        round: t.
    """
    participating = mixing.participating(round)
    return np.ones(mixing.nodes, dtype=bool) if participating is None else participating


def _composed_mu(shift: NDArray[np.float64], sigma: Vector) -> float:
    """Return √(Σ_t Σ_u (Δ_u/σ_u)²)."""
    return sqrt(float(_ratios(shift, sigma).sum()))


def _ratios(shift: NDArray[np.float64], sigma: Vector) -> NDArray[np.float64]:
    """Return (Δ/σ)² [T, N]; infinite where Δ > 0 and σ = 0."""
    return np.where(shift > 0, (shift / np.where(sigma > 0, sigma, 1.0)) ** 2 + np.where(sigma > 0, 0.0, inf), 0.0)


def _worst_cone(shift: NDArray[np.float64], sigma: Vector, mixing: Mixing) -> float:
    """Return √(Σ (Δ_u/σ_u)²) over the events that can have reached one node, for the node with the largest value."""
    ratios, reached = _ratios(shift, sigma), np.zeros(mixing.nodes)
    if not np.isfinite(ratios).all():
        return inf
    for t, cones in light_cones_backwards(0, len(shift), mixing):
        if cones is None:
            return _composed_mu(shift, sigma)
        nodes = np.flatnonzero(ratios[t])
        reached += ratios[t, nodes] @ cones.within(nodes)
    return sqrt(float(reached.max()))
