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

**The best a.** Between two observed hops, let â_j = a_j/γ^j and b̂_j = b_j/γ^j. The sums Σ_{i≤j} â_i must be at most
Σ_{i≤j} b̂_i, with equality at the end, and Σ_j (γ^j·â_j)² is to be minimised. With Σ_{i≤j} γ^{−2i} as the time axis,
the solution is the shortest path below a staircase: the slopes of its greatest convex minorant, which pooling finds.
One visit with ℓ hops to the next observed hop costs Δ²/(σ²·Σ_{j<ℓ} γ^{−2j}). For γ = 1 (convex losses, η ≤ 2/L, nothing
clipped) this is Δ²/(ℓ·σ²): the amplification by iteration of Feldman, Mironov, Talwar and Thakurta (2018). For any γ it
never exceeds the local bound, because a = b is one of the choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, inf, log, sqrt
from typing import ClassVar

import numpy as np

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.mechanisms.private_learning import (
    UNLIKELY,
    changed_gradient,
    clipped_growth,
    unresolved_noise,
)
from rewindnet.certificates.release import DivergenceBounds, Mechanism, Release
from rewindnet.certificates.training import Mixing, TrainingRun, Vector
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
        return cls(
            holders=holders,
            parents=parents,
            nodes=tuple(np.flatnonzero(training.deleted).tolist()),
            clip=clip,
            step_size=step_size,
            growth=clipped_growth(training, clip, step_size),
            rounding=_rounding(training, len(holders), clip, step_size, sigma),
        )

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """The hops of every deleting node."""
        return tuple((hop, holder) for hop, holder in enumerate(self.holders) if holder in self.nodes)

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return no divergence at the start, and at every hop of a deleting node what clipping and the constants allow.

        Raises:
            CertificateError: if the mechanism is not that of a token that learns in this way.
        """
        sigma = _sigma(release)
        again = WalkDP.of(training, self.holders, self.parents, self.clip, self.step_size, sigma)
        if self.nodes != again.nodes or self.growth < again.growth or self.rounding < again.rounding * (1 - 1e-9):
            raise CertificateError(f"the private walk is described as {self}, but for this training run it is {again}")
        if (release.checkpoint_round, release.descent_rounds, release.gossip_rounds) != (0, 0, 0):
            raise CertificateError("a private walk begins with learning, so its release has no rounds of its own")
        if any(not 0 <= holder < training.mixing.nodes for holder in self.holders):
            raise CertificateError("every holder of the token must be a node of the network")
        most = walk_shifts(training, self.clip)
        slack = 0.0 if training.arithmetic is None else self._at_one_point(training, sigma)
        nothing = np.zeros(training.mixing.nodes)
        return DivergenceBounds(nothing, nothing, np.array([most[node] + slack for _, node in self.events]))

    def _at_one_point(self, training: TrainingRun, sigma: float) -> float:
        """Return what rounding adds to the difference of two gradients at the same θ, computed in double precision."""
        assert training.arithmetic is not None
        norm = _largest_norm(training, len(self.holders), self.clip, self.step_size, sigma)
        constants, d = training.constants, training.arithmetic.parameters
        terms = (int(training.samples.max(initial=0)) + d + 32) * (constants.G.value + _longest(training, self.clip))
        return 2.0**-50 * (terms + constants.l2.value * norm)

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of all tokens for transcript:all; for other views that of absorption until the next observed hop."""
        sigma, felt = _sigma(release), np.zeros(len(self.holders))
        felt[[hop for hop, _ in self.events]] = bounds.shifts
        if not felt.any():
            return 0.0
        if sigma == 0:
            return inf
        kind, node = view.kind, view.within(mixing.nodes).node
        local = hypot(*(felt / sigma))
        if kind == "transcript:all":
            return local
        if kind != "transcript":
            return min(local, self._seen(felt, (), sigma))
        nodes = range(mixing.nodes) if len(self.nodes) > 1 else (v for v in range(mixing.nodes) if v not in self.nodes)
        watching = (node,) if node is not None else tuple(nodes)
        there = set(watching) & set(self.holders)
        # A deleting node knows its own forget set; as an observer it is a peer of the other deleting nodes.
        own = np.array([holder if node is None and holder in self.nodes else -1 for holder in self.holders])
        every = [self._seen(np.where(own == v, 0.0, felt), self._arrivals(v), sigma) for v in sorted(there)]
        # A node that never has the token before the end observes the released model only.
        rest = [] if len(there) == len(watching) and there else [self._seen(felt, (), sigma)]
        return min(local, max([*every, *rest]))

    def _arrivals(self, node: int) -> tuple[int, ...]:
        """Return the hops at which a node has the token."""
        return tuple(hop for hop, holder in enumerate(self.holders) if holder == node)

    def _seen(self, felt: Vector, seen: Sequence[int], sigma: float) -> float:
        """Return μ of a view of the tokens that arrive at these hops, and of the last token."""
        ends = [*(hop for hop in seen if hop > 0), len(felt)]
        starts = [0, *ends[:-1]]
        parts = (felt[start:end] for start, end in zip(starts, ends, strict=True))
        return hypot(*(absorbed(part, self.growth, self.rounding) for part in parts)) / sigma

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason where there is no noise, or where the arithmetic does not resolve it."""
        sigma = _sigma(release)
        if not self.events:
            return None
        if sigma == 0:
            return "the token learned without noise"
        norm = _largest_norm(training, len(self.holders), self.clip, self.step_size, sigma)
        return unresolved_noise(training, claim.delta, self.step_size * sigma, norm, "a hop")

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

    def account(self, release: Release, rounds: int) -> str:
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


def absorbed(felt: Vector, growth: float, charge: float = 0.0) -> float:
    """Return √(Σ_t a_t²) of the best shifts that absorb these disturbances by the last hop; divided by σ it is μ.

    Args:
        felt: b_t ≥ 0 [T] of every hop.
        growth: γ > 0.
        charge: what is added at every hop at which the tokens already differ.
    """
    hops = np.flatnonzero(felt)
    if not hops.size:
        return 0.0
    b = felt[hops[0] :].astype(np.float64)
    b[1:] += charge
    # The pieces of the minorant: number of hops, Σ γ^(−2j) and Σ b_j·γ^(−j). j counts from the first hop of a piece for
    # γ ≥ 1 and from its last otherwise, so that no sum overflows, and none underflows to 0.
    pieces: list[tuple[int, float, float]] = []
    for amount in b.tolist():
        piece = (1, 1.0, amount)
        while pieces and _steeper(pieces[-1], piece, growth):
            piece = _pooled(pieces.pop(), piece, growth)
        pieces.append(piece)
    return sqrt(sum(amount * (amount / time) for _, time, amount in pieces))


def _steeper(one: tuple[int, float, float], next: tuple[int, float, float], growth: float) -> bool:
    """Return whether the slope does not increase from one piece to the next."""
    if growth >= 1:
        return one[2] * next[1] * growth ** -one[0] >= next[2] * one[1]
    return one[2] * next[1] >= next[2] * one[1] * growth ** next[0]


def _pooled(one: tuple[int, float, float], next: tuple[int, float, float], growth: float) -> tuple[int, float, float]:
    """Return the union of two adjacent pieces."""
    hops = one[0] + next[0]
    if growth >= 1:
        scale = growth ** -one[0]
        return hops, one[1] + next[1] * scale**2, one[2] + next[2] * scale
    scale = growth ** next[0]
    return hops, one[1] * scale**2 + next[1], one[2] * scale + next[2]


def walk_shifts(training: TrainingRun, clip: float | None) -> Vector:
    """Return Δ [N], the largest change of every node's clipped gradient in exact arithmetic: min(2C, 2mG/n or G).

    Args:
        training: how the network learned, and what was deleted.
        clip: C; None for no clipping.
    """
    widest = inf if clip is None else 2 * clip
    return np.asarray(np.minimum(changed_gradient(training), widest))


def _sigma(release: Release) -> float:
    """Return σ of the private walk, which must be the same at all nodes."""
    sigma = float(release.sigma.max(initial=0.0))
    if np.any(release.sigma != sigma):
        raise CertificateError("the noise of a private walk is the same at all nodes")
    return sigma


def _largest_norm(training: TrainingRun, hops: int, clip: float | None, step_size: float, sigma: float) -> float:
    """Return a bound on every ‖x‖ that occurs, except for noise with a probability of at most 1e-30."""
    arithmetic = training.arithmetic
    if arithmetic is None:
        return 0.0
    long = sqrt(arithmetic.parameters) + sqrt(2 * log(2 * hops / UNLIKELY))
    once, summed = step_size * sigma * long, step_size * sigma * sqrt(hops) * long
    if step_size * training.constants.l2.value > 2:
        raise CertificateError(f"step_size {step_size:g} is so large that regularisation alone lets a token explode")
    start, moved = arithmetic.initial_norm, step_size * _longest(training, clip)
    if training.radius is not None:
        # The regulariser of a step that is not clipped does not increase the norm of the token.
        return (training.radius + moved + once) * (1 + 1e-3)
    return (start + moved * hops + summed + once) * (1 + 1e-3)


def _longest(training: TrainingRun, clip: float | None) -> float:
    """Return the largest change of the token by a gradient, divided by η; without a clip, by that of the loss alone."""
    return training.constants.G.value if clip is None else clip


def _rounding(training: TrainingRun, hops: int, clip: float | None, step_size: float, sigma: float) -> float:
    """Return what rounding adds in a hop to the difference of two runs at different x, divided by η."""
    arithmetic = training.arithmetic
    if arithmetic is None:
        return 0.0
    constants, d = training.constants, arithmetic.parameters
    G, L, l2 = constants.G.value, constants.L.value, constants.l2.value
    M = _largest_norm(training, hops, clip, step_size, sigma)
    terms = (int(training.samples.max(initial=0)) + arithmetic.outputs + 10) * G
    step = terms + ((arithmetic.inputs + 4) * L + 4 * l2) * M + 4 * (G + l2 * M) + (d + 16) * _longest(training, clip)
    # Gradients are computed in double precision; the features and the stored token have the precision of the network.
    return 2 * arithmetic.unit_roundoff * (step + (16 + d) * M / step_size)
