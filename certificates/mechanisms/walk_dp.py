"""Private random-walk learning: a token with noise at every hop, where later hops hide what was used at a visit.

**Algorithm.** At hop t the holder h_t computes x ← P(x − η(g_{h_t}(x) + Z_t)) with Z_t ~ N(0, σ²·I), where g is the
gradient of its data, clipped or not, and P is a projection or the identity. The walk is taken as it was drawn: it does
not depend on the data, so a guarantee for every fixed walk holds. The reference is the same learning without the forget
set. All distances are in the units of a gradient, that is, divided by η. Let γ be the Lipschitz constant of
x ↦ x − η·g(x), and b_t a bound on what the forget set changes in g at the same x: Δ at the deleting nodes, 0 elsewhere.

**An observer of every token** sees one Gaussian mechanism for every visit: μ² = Σ_t (b_t/σ)², the local bound (Dong,
Roth and Su 2022, Cor. 3.3).

**An observer of the token at some hops only** learns less.

1. Let y_t be the tokens on D, y'_t those on the retained data D', and ỹ_t those of a third run on D' that uses the
   noise of y and is shifted towards y: at hop t it adds s_t, ‖s_t‖ ≤ a_t, to the value to which its noise is added, in
   the direction of the value that y has there.
2. Then ‖y − ỹ‖ ≤ z with

    z ← γ·z + b_t − a_t,    0 ≤ a_t ≤ γ·z + b_t,

   because P never increases distances. So ỹ = y wherever z = 0.
3. Choose a so that z = 0 at every hop that is observed. Then the view of ỹ is the view of y.
4. Given the messages of ỹ so far, its noise and therefore y so far are known, hence s_t. So, from the same point on,
   the next message of ỹ is that of y', shifted by s_t. The view is μ-GDP with μ² = Σ_t (a_t/σ)².

The noise of the observer itself is not needed, because nothing is absorbed where it has the token. This is shifted
interpolation (Bok, Su and Altschuler 2024, "Shifted interpolation for differential privacy") with several sources and
deadlines.

The least μ over the choices of a is computed in `mechanisms.walk_absorption`. With any γ it never exceeds the local
bound, because a = b is one of the choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, inf
from typing import ClassVar

import numpy as np

from rewindnet.certificates.additions import Additions
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.mechanisms.private_learning import (
    FIXED_REQUEST,
    Design,
    changed_gradient,
    clipped_growth,
    design_sentence,
    least_resolved_sigma,
    unresolved_noise,
)
from rewindnet.certificates.mechanisms.walk_absorption import absorption_norm
from rewindnet.certificates.mechanisms.walk_rounding import largest_norm, rounding_at_one_point, rounding_between_points
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class WalkDP(Mechanism):
    """Clipped gradients with fresh noise at every hop of a token.

    Attributes:
        holders: the holder of the token at each hop, from the first.
        parents: [N], the node from which each node receives the last token, which is released; the root of the tree has
            itself.
        nodes: the deleting nodes.
        clip: C; None for gradients that are not clipped, which proven constants allow.
        step_size: η.
        growth: γ.
        rounding: what rounding may add in a hop between two tokens that already differ, divided by η.
    """

    holders: tuple[int, ...]
    parents: tuple[int, ...]
    nodes: tuple[int, ...]
    clip: float | None
    step_size: float
    growth: float
    rounding: float
    designed_for: Design | None = None

    kind: ClassVar[str] = "walk-dp"
    noise_label: ClassVar[str] = "every hop"

    @classmethod
    def of(
        cls,
        training: TrainingRun,
        holders: tuple[int, ...],
        parents: tuple[int, ...],
        clip: float | None,
        step_size: float,
        sigma: float,
    ) -> "WalkDP":
        """Return the mechanism of a token that learns in this way from the network's data.

        Args:
            training: how the network learned, and what was deleted.
            holders: the holder of the token at each hop.
            parents: [N], the tree along which the last token spreads.
            clip: C; None for no clipping.
            step_size: η.
            sigma: σ, the standard deviation of the noise on a gradient.

        Raises:
            CertificateError: if clip or step size are not positive numbers, or a client has left.
        """
        if not (0 < step_size < inf and (clip is None or 0 < clip < inf)):
            raise CertificateError(f"clip and step size are positive numbers, not {clip} and {step_size}")
        check_holders(training)
        if not training.constants.known:
            raise CertificateError(
                f"the accounting of walk-dp takes a convex loss, and {training.constants.why_unknown}"
            )
        return cls(
            holders=holders,
            parents=parents,
            nodes=tuple(np.flatnonzero(training.deleted).tolist()),
            clip=clip,
            step_size=step_size,
            growth=clipped_growth(training, clip, step_size),
            rounding=rounding_between_points(training, len(holders), clip, step_size, sigma),
        )

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """The hops of every deleting node."""
        return tuple((hop, holder) for hop, holder in enumerate(self.holders) if holder in self.nodes)

    def additions(self, training: TrainingRun, release: Release) -> Additions:
        """Return noise η·σ at the holder of every hop."""
        holders = np.array(self.holders, dtype=np.int64)
        noisy = release.sigma[holders] > 0
        return Additions(np.flatnonzero(noisy), holders[noisy], self.step_size * release.sigma[holders][noisy])

    def learning_not_covered(self, training: TrainingRun, release: Release) -> None:
        """Return None: it learns by itself, in steps of its own."""

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return no divergence at the start, and at every hop of a deleting node what clipping and the constants allow.

        Raises:
            CertificateError: if the mechanism is not that of a token that learns in this way.
        """
        sigma = _sigma(release)
        expected = WalkDP.of(training, self.holders, self.parents, self.clip, self.step_size, sigma)
        understated = self.growth < expected.growth or self.rounding < expected.rounding * (1 - 1e-9)
        if self.nodes != expected.nodes or understated:
            raise CertificateError(
                f"the private walk is described as {self}, but for this training run it is {expected}"
            )
        if (release.checkpoint_round, release.descent_rounds, release.gossip_rounds) != (0, 0, 0):
            raise CertificateError("a private walk begins with learning, so its release has no rounds of its own")
        if any(not 0 <= holder < training.mixing.nodes for holder in self.holders):
            raise CertificateError("every holder of the token must be a node of the network")
        largest_shifts = walk_shifts(training, self.clip)
        slack = rounding_at_one_point(training, len(self.holders), self.clip, self.step_size, sigma)
        zero = np.zeros(training.mixing.nodes)
        return DivergenceBounds(zero, zero, np.array([largest_shifts[node] + slack for _, node in self.events]))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of all tokens for transcript:all; for other views that of absorption until the next observed hop."""
        sigma, disturbance = _sigma(release), np.zeros(len(self.holders))
        disturbance[[hop for hop, _ in self.events]] = bounds.shifts
        if not disturbance.any():
            return 0.0
        if sigma == 0:
            return inf
        kind, node = view.kind, view.within(mixing.nodes).node
        local = hypot(*(disturbance / sigma))
        if kind == "transcript:all":
            return local
        if kind == "transcript":
            return min(local, self._mu_of_peer(node, disturbance, sigma, mixing))
        return min(local, self._mu_of_hops(disturbance, (), sigma))

    def _mu_of_peer(self, node: int | None, disturbance: Vector, sigma: float, mixing: Mixing) -> float:
        """Return μ of what a node receives; without a node, of the peer with the largest μ."""
        nodes = range(mixing.nodes) if len(self.nodes) > 1 else (v for v in range(mixing.nodes) if v not in self.nodes)
        watching = (node,) if node is not None else tuple(nodes)
        arriving = set(watching) & set(self.holders)
        # A deleting node knows its own forget set; as an observer it is a peer of the other deleting nodes.
        known_to = np.array([holder if node is None and holder in self.nodes else -1 for holder in self.holders])
        mus = [
            self._mu_of_hops(np.where(known_to == v, 0.0, disturbance), self._arrivals(v), sigma)
            for v in sorted(arriving)
        ]
        if not arriving or len(arriving) < len(watching):
            # A node that never has the token before the end observes the released model only.
            mus.append(self._mu_of_hops(disturbance, (), sigma))
        return max(mus)

    def _arrivals(self, node: int) -> tuple[int, ...]:
        """Return the hops at which a node has the token."""
        return tuple(hop for hop, holder in enumerate(self.holders) if holder == node)

    def _mu_of_hops(self, disturbance: Vector, observed: Sequence[int], sigma: float) -> float:
        """Return μ of a view of the tokens that arrive at these hops, and of the last token."""
        ends = [*(hop for hop in observed if hop > 0), len(disturbance)]
        starts = [0, *ends[:-1]]
        parts = (disturbance[start:end] for start, end in zip(starts, ends, strict=True))
        return hypot(*(absorption_norm(part, self.growth, self.rounding) for part in parts)) / sigma

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason where there is no noise, or where the arithmetic does not resolve it."""
        sigma = _sigma(release)
        if not self.events:
            return None
        if sigma == 0:
            return "the token learned without noise"
        norm = largest_norm(training, len(self.holders), self.clip, self.step_size, sigma)
        return unresolved_noise(training, claim.delta, self.step_size * sigma, norm, "a hop")

    def noise_vectors(self, release: Release) -> int:
        """Return one vector for every hop."""
        return len(self.holders) if release.sigma.any() else 0

    def least_sigma(self, training: TrainingRun, release: Release) -> float:
        """Return the smallest σ that the arithmetic resolves at a hop."""
        return least_resolved_sigma(
            training,
            self.step_size,
            lambda sigma: largest_norm(training, len(self.holders), self.clip, self.step_size, sigma),
        )

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what is covered and what is assumed."""
        clipped = "Gradients are not clipped" if self.clip is None else f"Gradients are clipped to norm {self.clip:.6g}"
        visits = ", ".join(f"node {node}: {self.holders.count(node)}" for node in self.nodes)
        return (
            "Learning itself added the noise, by a token on a walk that does not depend on the data; the certificate "
            f"is conditional on this walk, in which the deleting clients took this number of steps: {visits}.",
            f"{clipped}; a step is {self.growth:.6g}-Lipschitz.",
            "An observing node knows its own noise but not that of a deleting client; the holder of the token at every "
            "hop is public.",
        )

    def premises(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return that neither the request may depend on the noise nor the level of the noise on the request."""
        return (FIXED_REQUEST, design_sentence(training, self.designed_for))

    def describe(self, release: Release, rounds: int) -> str:
        """Return that learning itself added the noise."""
        return (
            f"had learned by one model that travelled from client to client, with {noise_size(release)} at every hop, "
            "so nothing was left to do"
        )


def check_holders(training: TrainingRun) -> None:
    """Refuse a network that a client has left, because its nodes need not even be connected.

    Args:
        training: how the network learned.

    Raises:
        CertificateError: with what is allowed.
    """
    if training.departed:
        raise CertificateError("without a departed node the walk is another walk; use deletion.departure relay")


def walk_shifts(training: TrainingRun, clip: float | None) -> Vector:
    """Return Δ [N], the largest change of every node's clipped gradient in exact arithmetic: min(2C, 2mG/n or G).

    Args:
        training: how the network learned, and what was deleted.
        clip: C; None for no clipping.
    """
    diameter = inf if clip is None else 2 * clip
    return np.asarray(np.minimum(changed_gradient(training), diameter))


def _sigma(release: Release) -> float:
    """Return σ of the private walk, which must be the same at all nodes."""
    sigma = float(release.sigma.max(initial=0.0))
    if np.any(release.sigma != sigma):
        raise CertificateError("the noise of a private walk is the same at all nodes")
    return sigma
