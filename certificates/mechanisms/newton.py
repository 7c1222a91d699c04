"""One Gaussian vector a node around models corrected for a deletion: how far off these are, by what is left over.

Consensus-plus-gradient with one W, symmetric, and full gradients is X ↦ T(X) = WX − γ∇F'(X) on retained data. Its fixed
point X* is where ∇Φ'(X) = (I − W)X + γ∇F'(X) vanishes; every F'_i is μ-strongly convex and L-smooth. The network ends
at the corrected X̃; retrained, it would end where T takes X⁰ in as many rounds as learning had. Both are held against
X*, node by node.

**The corrected models.** Let r_i = ∇Φ'(X̃)_i, as measured, and δ = X̃ − X*. Then

    r_i = δ_i − Σ_j W_ij·δ_j + γ(∇F'_i(x̃_i) − ∇F'_i(x*_i)),

whose inner product with δ_i/‖δ_i‖ is at least (1 − W_ii + γμ)‖δ_i‖ − Σ_{j≠i} W_ij‖δ_j‖, by strong monotonicity and
W ≥ 0. So ((1 + γμ)I − W)·(‖δ_i‖)_i ≤ (‖r_i‖)_i, and since that matrix is an M-matrix, whose inverse is not negative
(Berman and Plemmons 1994, "Nonnegative matrices in the mathematical sciences", Thm. 6.2.3),

    (‖δ_i‖)_i ≤ ((1 + γμ)I − W)⁻¹ (‖r_i‖)_i        hence ‖δ‖ ≤ ‖r‖/(γμ) for the stacked models,

whatever the curvature was that the correction was worked out with, and however well it was solved for. A vector that
the matrix takes above (‖r_i‖)_i is above the solution, so no convergence is leaned on.

**The retrained models.** T moves two states no further apart than e ↦ (W − diag W)e + κ∘e does, κ_i = max(|W_ii − γμ|,
|γL − W_ii|) (`sensitivity.recursion`), and the stacked states by the factor c = max(|1 − γμ|, |λ_min(W) − γL|), for
T is the gradient of ½⟨X, WX⟩ − γΣF'_i. It starts ‖x⁰ − x*_i‖ away from X*, which is at most (G + l2‖θ⁰‖)/μ, by the
first part with r⁰_i = γ∇F'_i(θ⁰), all nodes starting alike; and at most ‖x⁰ − x̃_i‖ + ‖δ_i‖, the first of which was
measured. The sum of both parts bounds ‖x̃_i − x_i‖ for the retrained x_i.

**Rounding.** The nodes take the gradients of the residual in double precision, on samples weighted in the arithmetic of
learning (off by u·G), and hear their neighbours in that arithmetic ((k + 6)·u·‖x‖ for k messages). Retraining is
charged as ever (`rewindnet.certificates.sensitivity.rounding`).

The residual is a number that depends on what was deleted: a bound of this kind is `instance`.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
from scipy import linalg
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse import linalg as iterative

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.gaussian_output import GaussianOutput, noise_size
from rewindnet.certificates.release import DivergenceBounds, Mechanism, Release
from rewindnet.certificates.sensitivity.local_steps import curvatures, strongest_regime
from rewindnet.certificates.sensitivity.rounding import charges
from rewindnet.certificates.training import Mixing, TrainingRun, Vector
from rewindnet.certificates.view import View
from rewindnet.certificates.views.distances import mu_of_view

#: Up to so many nodes λ_min comes from all eigenvalues, above from Gershgorin's discs.
_DENSE = 500

#: By how much more than was computed a norm of numbers in double precision may be, relatively: far more than it is.
_NORM = 1e-6

_DOUBLE = 2.0**-53


@dataclass(frozen=True)
class Stacked(DivergenceBounds):
    """The same, with a bound on the stacked models that may be below the root of the sum of squares."""

    together: float = inf


@dataclass(frozen=True)
class Newton(Mechanism):
    """The Gaussian mechanism at the models after a correction, calibrated to what the nodes have measured.

    Attributes:
        rounds: that the correction took.
        spectrum: between which the eigenvalues of the system lie that the network solved; nothing is claimed of them.
        source: who worked out a correction for all alone; None: the network did.
        held: the samples that this node had.
        residual: [N], ‖∇Φ'(X̃)_i‖ as measured; empty before.
        moved: [N], ‖x̃_i − θ⁰‖ as measured; empty before.
    """

    rounds: int = 0
    spectrum: tuple[float, float] = (0.0, 0.0)
    source: int | None = None
    held: int = 0
    residual: tuple[float, ...] = ()
    moved: tuple[float, ...] = ()

    kind: ClassVar[str] = "newton"
    measured: ClassVar[bool] = True
    noise_label: ClassVar[str] = "correction"
    one_vector: ClassVar[bool] = True

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """The distance to the retrained models, from the residual and from how far retraining has come."""
        check_contraction(training, release.rounds_after_noise + self.rounds + 1)
        self._check(training, release, claim)
        if not self.residual:
            return DivergenceBounds(np.zeros(0))
        W, pull = training.mixing.matrix(0), training.step_size * _ends(training)[0]
        charged = self._charged(training, W)
        near = dominated(W, pull, np.array(self.residual) * (1 + _NORM))
        misread = dominated(W, pull, charged)
        far, rounded = retrained(training, self._start(training, near + misread))
        bound = Stacked(
            nodes=near + misread + far.nodes + rounded.nodes,
            rounding=misread + rounded.nodes,
            together=float(np.linalg.norm(near + misread)) + far.together + rounded.together,
        )
        if not np.all(np.isfinite(bound.nodes)):
            raise CertificateError("the residual allows no finite certificate")
        return bound

    def _start(self, training: TrainingRun, near: Vector) -> Vector:
        """[N], how far retraining starts from where it would end."""
        constants, start = training.constants, np.array(self.moved) * (1 + _NORM) + near
        if training.arithmetic is None:
            return start
        steepest = constants.G.value + constants.l2.value * training.arithmetic.initial_norm
        return np.minimum(start, steepest / _ends(training)[0])

    def _charged(self, training: TrainingRun, W: csr_array) -> Vector:
        """[N], by how much rounding may have falsified the residual."""
        arithmetic = training.arithmetic
        if arithmetic is None:
            return np.zeros(training.mixing.nodes)
        u, gamma = arithmetic.unit_roundoff, training.step_size
        G, L, l2 = training.constants.G.value, training.constants.L.value, training.constants.l2.value
        norm = (max(self.moved) + arithmetic.initial_norm) * (1 + _NORM)
        terms = (int(training.samples.max(initial=0)) + arithmetic.outputs + 10) * G
        gradient = u * G + _DOUBLE * (terms + ((arithmetic.inputs + 4) * L + 4 * l2) * norm)
        own = gamma * gradient + 4 * _DOUBLE * (2 * norm + gamma * (G + l2 * norm))
        return np.asarray((np.diff(W.indptr) + 6) * u * norm + own, dtype=np.float64)

    def _check(self, training: TrainingRun, release: Release, claim: Claim) -> None:
        if release.placement != "rewind" or release.checkpoint_round != training.rounds or release.averaged:
            raise CertificateError(
                "a residual is certified where learned models are corrected and noised, each its own"
            )
        if claim.bound != "instance":
            raise CertificateError(
                f"a residual is measured: the bound of its certificate is instance, not {claim.bound}"
            )
        if (claim.regime or strongest_regime(training)) != "strongly-convex":
            raise CertificateError(f"a residual says nothing in the regime {claim.regime}; only in strongly-convex")
        sizes = {len(self.residual), len(self.moved)}
        if sizes not in ({0}, {training.mixing.nodes}):
            raise CertificateError(
                f"the residuals of {training.mixing.nodes} nodes are needed, and all their distances"
            )
        if any(not 0 <= one < inf for one in (*self.residual, *self.moved)):
            raise CertificateError("a residual is a non-negative number, and so is a distance")

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """As after noise on a checkpoint: over all nodes whose noised models what is seen is made of."""
        if not bounds.nodes.size or (view.shows_messages and bounds.nodes.any()):
            return inf
        apart = mu_of_view(view, bounds.nodes, release, mixing)
        if isinstance(bounds, Stacked) and np.all(release.sigma > 0):
            return min(apart, bounds.together / float(release.sigma.min()))
        return apart

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """The messages by which the correction is worked out."""
        if claim.view.shows_messages:
            return "the messages that work out and spread the correction carry no noise and are not covered"
        return None

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """What is covered, and whose word it rests on."""
        return (
            "What is released is covered, also what peers pool of it; the messages that work out and spread the "
            "correction are not.",
            "Retraining is that of as many rounds as learning had; the residual of every node and its distance from "
            "the start are as the nodes have measured them on retained data.",
        )

    def account(self, release: Release, rounds: int) -> str:
        """Return how long the correction took, and how many rounds followed."""
        return (
            f"corrected all models by a Newton step of {self.rounds:,} rounds, added {noise_size(release)}, and ran "
            f"{release.descent_rounds:,} more"
        )

    def covers(self, release: Release, own: View, other: View) -> bool:
        """Return as for one Gaussian vector; messages of the correction are never covered."""
        return own == other or (not other.shows_messages and GaussianOutput().covers(release, own, other))


@dataclass(frozen=True)
class NewtonSharedNoise(Newton):
    """The same with one noise vector for all nodes, as the paper of the method has it.

    The differences of two nodes' models then carry no noise, so only a model that is made of a single noised one is
    covered.
    """

    kind: ClassVar[str] = "newton-shared-noise"
    one_vector: ClassVar[bool] = False
    noise_label: ClassVar[str] = "correction, shared"

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Of one noised model; infinite for what is made of several."""
        if not bounds.nodes.size:
            return inf
        if not _alone(view, release, mixing):
            return 0.0 if not bounds.nodes.any() else inf
        return mu_of_view(view, bounds.nodes, release, mixing)

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """As well whatever is made of several models."""
        if not _alone(claim.view, release, training.mixing):
            return (
                "all nodes carry one and the same noise vector, so the differences of their models carry none; only a "
                "single model without clean rounds is covered"
            )
        return super().why_not_covered(training, release, claim)

    def account(self, release: Release, rounds: int) -> str:
        """Return how long the correction took, and that all nodes carry the same noise."""
        return (
            f"corrected all models by a Newton step of {self.rounds:,} rounds, added one vector of "
            f"{noise_size(release)} to all, and ran {release.descent_rounds:,} more"
        )

    def covers(self, release: Release, own: View, other: View) -> bool:
        """Return whether the two views are the same."""
        return own == other


def _alone(view: View, release: Release, mixing: Mixing) -> bool:
    """Whether a view shows no more than one noised model."""
    one_model = view.kind == "node" and release.rounds_after_noise == 0
    return one_model or mixing.nodes == 1


def check_contraction(training: TrainingRun, further: int) -> float:
    """Refuse a network whose rounds are not one and the same contraction; its factor c for the stacked models.

    Args:
        training: of the network.
        further: rounds after learning that must be alike as well.

    Raises:
        CertificateError: with the reason.
    """
    constants, mixing = training.constants, training.mixing
    if training.order != "consensus-plus-gradient":
        raise CertificateError(
            "a Newton correction is for networks that learn in the order consensus-plus-gradient, of which the fixed "
            f"point is that of one objective; this one learns in the order {training.order}"
        )
    if training.local_steps != 1 or training.batches is not None or training.radius is not None:
        raise CertificateError(
            "a Newton correction is for learning with one local step a round, full gradients and no projection: "
            "otherwise rounds are not gradient steps on one objective"
        )
    if training.departed:
        raise CertificateError("a Newton correction is for clients that stay as relays; use departure relay")
    if constants.regimes()[-1] != "strongly-convex":
        raise CertificateError(
            f"a Newton correction needs a strongly convex objective; {constants.model} with l2 {constants.l2.value:g} "
            "is not, l2 > 0 makes convex ones so"
        )
    if not _ends(training)[0] > 0:
        raise CertificateError(
            "a Newton correction needs a strongly convex objective, and that of a client that retains nothing is flat "
            "where l2 is 0: set l2"
        )
    W = mixing.matrix(0)
    if any(mixing.matrix(t) is not W or mixing.participating(t) is not None for t in range(training.rounds + further)):
        raise CertificateError("a Newton correction is for a network that is the same in every round: schedule static")
    if abs(W - W.T).max() > 0 or (W.nnz and W.data.min() < 0):
        raise CertificateError("a Newton correction needs a symmetric mixing matrix of non-negative weights")
    c = _factor(training, W)
    if not c < 1:
        limit = (1 + lowest_eigenvalue(W)) / constants.L.value
        raise CertificateError(
            f"step_size {training.step_size:g} does not let this network converge (it may move apart by {c:.4g} in a "
            f"round); it takes one below (1 + λ_min(W))/L = {limit:.6g}"
        )
    return c


def _ends(training: TrainingRun) -> tuple[float, float]:
    """μ and L of every F'_i, also of a client that retains nothing."""
    low, high = curvatures(training, "strongly-convex", np.ones(1))
    return float(low[0]), float(high[0])


def _factor(training: TrainingRun, W: csr_array) -> float:
    """c = max(|1 − γμ|, |λ_min(W) − γL|)."""
    gamma, (low, high) = training.step_size, _ends(training)
    top, bottom = 1 - gamma * low, lowest_eigenvalue(W) - gamma * high
    return max(abs(top), abs(bottom))


def lowest_eigenvalue(W: csr_array) -> float:
    """A lower bound on the eigenvalues of a symmetric matrix of non-negative weights, rows of which sum to 1.

    Gershgorin's discs reach down to 2·min W_ii − 1; on small networks the eigenvalues are computed, less what they may
    be off.
    """
    discs = 2 * float(W.diagonal().min()) - 1 - 1e-9
    if W.shape[0] > _DENSE:
        return discs
    return max(discs, float(linalg.eigvalsh(W.toarray())[0]) - 1e-9)


def dominated(W: csr_array, pull: float, right: Vector) -> Vector:
    """[N], at or above the solution a of ((1 + pull)·I − W)a = right, for rows of W that sum to 1, and right ≥ 0.

    The matrix takes 1 to pull·1, so what a solver falls short of is made up for by as much everywhere, over pull.
    """
    A = csr_array((1 + pull) * eye_array(W.shape[0]) - W)
    if not right.any():
        return np.zeros_like(right)
    scale = float(right.max())
    found, _ = iterative.cg(A, right / scale, rtol=1e-13, atol=0.0, maxiter=10_000)
    found = np.maximum(found, 0.0)
    terms = int(np.diff(W.indptr).max()) + 4
    short = float((right / scale - A @ found).max(initial=0.0)) + 8 * terms * _DOUBLE * (float(found.max()) + 1)
    return np.asarray(scale * (found + short / float((A @ np.ones_like(right)).min())))


def retrained(training: TrainingRun, start: Vector) -> tuple[Stacked, Stacked]:
    """How far T rounds of retraining may end from their fixed point: what is left of `start` [N], and of rounding."""
    W, gamma = training.mixing.matrix(0), training.step_size
    low, high = _ends(training)
    own = W.diagonal()
    kept = np.maximum(np.abs(own - gamma * low), np.abs(gamma * high - own))
    moves, c = csr_array(W + diags_array(kept - own)), _factor(training, W)
    both = np.stack([start, np.zeros_like(start)], axis=1)
    norms, N = np.array([np.linalg.norm(start), 0.0]), len(start)
    with np.errstate(over="ignore", invalid="ignore"):
        for charge in charges(training, "strongly-convex", training.rounds):
            both, norms = moves @ both, c * norms
            both[:, 1] += charge
            norms[1] += charge * N**0.5
    # A node is no further off than all of them together; where neighbours weigh too much, only that is known.
    nodes = np.fmin(both, norms)
    together = np.fmin(np.linalg.norm(both, axis=0), norms)
    return tuple(Stacked(nodes[:, k], together=float(together[k])) for k in (0, 1))  # type: ignore[return-value]
