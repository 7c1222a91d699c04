"""The Gaussian mechanism after a Newton correction, with a sensitivity that follows from the measured residual.

**Setting.** The network learns in the order consensus-plus-gradient with one symmetric W and full gradients. On
retained data a round is X ↦ T(X) = WX − γ∇F'(X). Its fixed point X* is where ∇Φ'(X) = (I − W)X + γ∇F'(X) vanishes.
Every F'_i is μ-strongly convex and L-smooth. Unlearning ends at the corrected models X̃. Retraining ends where T takes
X⁰ in as many rounds as learning had. Both are compared with X*, node by node.

**Theorem.** For every node i, ‖x̃_i − x_i‖ is at most the sum of the bounds (1) and (2), where x_i is the retrained
model.

**(1) The corrected models.** Let r_i = ∇Φ'(X̃)_i be the measured residuals and δ = X̃ − X*.

1. r_i = δ_i − Σ_j W_ij·δ_j + γ(∇F'_i(x̃_i) − ∇F'_i(x*_i)), because ∇Φ'(X*) = 0.
2. By strong monotonicity and W ≥ 0, the inner product of r_i with δ_i/‖δ_i‖ is at least (1 − W_ii + γμ)‖δ_i‖ − Σ_{j≠i}
   W_ij‖δ_j‖.
3. So ((1 + γμ)I − W)·(‖δ_i‖)_i ≤ (‖r_i‖)_i.
4. That matrix is an M-matrix, whose inverse is non-negative (Berman and Plemmons 1994, "Nonnegative matrices in the
   mathematical sciences", Thm. 6.2.3). Hence

    (‖δ_i‖)_i ≤ ((1 + γμ)I − W)⁻¹ (‖r_i‖)_i,        and ‖δ‖ ≤ ‖r‖/(γμ) for the stacked models.

The bound holds whatever curvature was used to compute the correction and however accurately the system was solved. A
vector that the matrix takes to at least (‖r_i‖)_i is at least the solution, so the bound does not depend on the
convergence of a solver.

**(2) The retrained models.**

1. In a round, T takes two states at distances e to distances of at most (W − diag W)e + κ∘e, with
   κ_i = max(|W_ii − γμ|, |γL − W_ii|) (`sensitivity.recursion`).
2. T contracts the distance of the stacked states by c = max(|1 − γμ|, |λ_min(W) − γL|), because T is the gradient of
   ½⟨X, WX⟩ − γΣF'_i.
3. Retraining starts at the distances ‖x⁰ − x*_i‖. These are at most (G + l2‖θ⁰‖)/μ, by (1) with r⁰_i = γ∇F'_i(θ⁰),
   because all nodes start from the same model. They are also at most ‖x⁰ − x̃_i‖ + ‖δ_i‖, of which the first term was
   measured.
4. Applying steps 1 and 2 in every round of retraining bounds ‖x_i − x*_i‖.

**Rounding.** The nodes compute the gradients of the residual in double precision, on samples weighted in the arithmetic
of learning (an error of u·G), and receive their neighbours' models in that arithmetic (an error of (k + 6)·u·‖x‖ for k
messages). Retraining is charged as in `rewindnet.certificates.sensitivity.rounding`.

The residual depends on the deleted data, so the bound is `instance`.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.fixed_point import (
    DOUBLE,
    StackedBounds,
    check_contraction,
    curvature_bounds,
    retraining_distance,
    upper_solution,
)
from rewindnet.certificates.mechanisms.gaussian_output import GaussianOutput, noise_size
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View
from rewindnet.certificates.views.mu import mu_of_view

#: A generous bound on the relative error of a norm that is computed in double precision.
_NORM = 1e-6


@dataclass(frozen=True)
class Newton(Mechanism):
    """The Gaussian mechanism on the corrected models, calibrated to the residuals that the nodes have measured.

    Attributes:
        rounds: the number of rounds that the correction took.
        spectrum: the interval of the eigenvalues of the system that the network solved; it is recorded only, and no
            bound uses it.
        source: the node that computed one correction for all nodes; None if the network computed it.
        held: the number of samples that this node had.
        residual: [N], the measured ‖∇Φ'(X̃)_i‖; empty before they are measured.
        moved: [N], the measured ‖x̃_i − θ⁰‖; empty before they are measured.
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
        """Return the bounds (1) + (2) of the module on the distance to the retrained models.

        Raises:
            CertificateError: if the training, the release or the claim does not fit, or the bound is not finite.
        """
        uncovered = self.learning_not_covered(training, release)
        if uncovered is not None:
            raise CertificateError(f"no bound is known on the distance to the retrained models: {uncovered}")
        check_contraction(training, release.rounds_after_noise + self.rounds + 1)
        self._check(training, release, claim)
        if not self.residual:
            return DivergenceBounds(np.zeros(0))
        W, pull = training.mixing.matrix(0), training.step_size * curvature_bounds(training)[0]
        corrected = upper_solution(W, pull, np.array(self.residual) * (1 + _NORM))
        residual_error = upper_solution(W, pull, self._residual_rounding(training, W))
        retrained, rounded = retraining_distance(training, self._start_distance(training, corrected + residual_error))
        bound = StackedBounds(
            nodes=corrected + residual_error + retrained.nodes + rounded.nodes,
            rounding=residual_error + rounded.nodes,
            stacked=float(np.linalg.norm(corrected + residual_error)) + retrained.stacked + rounded.stacked,
        )
        if not np.all(np.isfinite(bound.nodes)):
            raise CertificateError("the residual allows no finite certificate")
        return bound

    def _start_distance(self, training: TrainingRun, corrected: Vector) -> Vector:
        """Return the distance [N] of each node's initial model from the fixed point, or a bound on it."""
        constants, start = training.constants, np.array(self.moved) * (1 + _NORM) + corrected
        if training.arithmetic is None:
            return start
        steepest = constants.G.value + constants.l2.value * training.arithmetic.initial_norm
        return np.minimum(start, steepest / curvature_bounds(training)[0])

    def _residual_rounding(self, training: TrainingRun, W: csr_array) -> Vector:
        """Return a bound [N] on the error of the residual by rounding."""
        arithmetic = training.arithmetic
        if arithmetic is None:
            return np.zeros(training.mixing.nodes)
        u, gamma = arithmetic.unit_roundoff, training.step_size
        G, L, l2 = training.constants.G.value, training.constants.L.value, training.constants.l2.value
        norm = (max(self.moved) + arithmetic.initial_norm) * (1 + _NORM)
        terms = (int(training.samples.max(initial=0)) + arithmetic.outputs + 10) * G
        gradient = u * G + DOUBLE * (terms + ((arithmetic.inputs + 4) * L + 4 * l2) * norm)
        computed = gamma * gradient + 4 * DOUBLE * (2 * norm + gamma * (G + l2 * norm))
        return np.asarray((np.diff(W.indptr) + 6) * u * norm + computed, dtype=np.float64)

    def _check(self, training: TrainingRun, release: Release, claim: Claim) -> None:
        """Refuse a release, a claim or measurements for which the bound does not hold."""
        if release.placement != "rewind" or release.checkpoint_round != training.rounds or release.averaged:
            raise CertificateError(
                "a residual is certified where learned models are corrected and noised, each by its own node"
            )
        if claim.bound != "instance":
            raise CertificateError(
                f"a residual is measured: the bound of its certificate is instance, not {claim.bound}"
            )
        if (claim.regime or strongest_regime(training)) != "strongly-convex":
            raise CertificateError(
                f"a residual says nothing in the regime {claim.regime}; the bound needs the regime strongly-convex"
            )
        sizes = {len(self.residual), len(self.moved)}
        if sizes not in ({0}, {training.mixing.nodes}):
            raise CertificateError(
                f"the residuals of {training.mixing.nodes} nodes are needed, and their distances from the start"
            )
        if any(not 0 <= measured < inf for measured in (*self.residual, *self.moved)):
            raise CertificateError("a residual is a non-negative number, and so is a distance")

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ as for noise on a checkpoint: over all nodes whose noised models the view depends on."""
        if not bounds.nodes.size or (view.shows_messages and bounds.nodes.any()):
            return inf
        mu = mu_of_view(view, bounds.nodes, release, mixing)
        if isinstance(bounds, StackedBounds) and np.all(release.sigma > 0):
            return min(mu, bounds.stacked / float(release.sigma.min()))
        return mu

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason for views that include the messages of the correction."""
        if claim.view.shows_messages:
            return "the messages that compute and spread the correction carry no noise and are not covered"
        return None

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what is covered, and which measurements the guarantee depends on."""
        return (
            "All released models are covered, colluding peers included; the messages that compute and spread the "
            "correction are not.",
            "Retraining has as many rounds as learning; the residual of every node and its distance from the initial "
            "model are as the nodes have measured them on retained data.",
        )

    def describe(self, release: Release, rounds: int) -> str:
        """Return how long the correction took, and how many rounds followed."""
        return (
            f"corrected all models by a Newton step of {self.rounds:,} rounds, added {noise_size(release)}, and ran "
            f"{release.descent_rounds:,} more"
        )

    def covers(self, release: Release, certified: View, view: View) -> bool:
        """Return the same as for one Gaussian vector per node; messages of the correction are never covered."""
        return certified == view or (not view.shows_messages and GaussianOutput().covers(release, certified, view))


@dataclass(frozen=True)
class NewtonSharedNoise(Newton):
    """The Newton mechanism with one noise vector for all nodes, as in the paper of the method.

    The difference of two nodes' models then carries no noise, so only a model that depends on a single noised model is
    covered.
    """

    kind: ClassVar[str] = "newton-shared-noise"
    one_vector: ClassVar[bool] = False
    shared_noise: ClassVar[bool] = True
    noise_label: ClassVar[str] = "correction, shared"

    def noise_vectors(self, release: Release) -> int:
        """Return 1: all nodes add the same vector."""
        return int(release.sigma.any())

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of one noised model; infinite for views that depend on several."""
        if not bounds.nodes.size:
            return inf
        if not _single_noised_model(view, release, mixing):
            return 0.0 if not bounds.nodes.any() else inf
        return mu_of_view(view, bounds.nodes, release, mixing)

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason also for views that depend on several models."""
        if not _single_noised_model(claim.view, release, training.mixing):
            return (
                "all nodes carry one and the same noise vector, so the differences of their models carry none; only a "
                "single model without clean rounds is covered"
            )
        return super().why_not_covered(training, release, claim)

    def describe(self, release: Release, rounds: int) -> str:
        """Return how long the correction took, and that all nodes carry the same noise."""
        return (
            f"corrected all models by a Newton step of {self.rounds:,} rounds, added one vector of "
            f"{noise_size(release)} to all, and ran {release.descent_rounds:,} more"
        )

    def covers(self, release: Release, certified: View, view: View) -> bool:
        """Return whether the two views are the same."""
        return certified == view


def _single_noised_model(view: View, release: Release, mixing: Mixing) -> bool:
    """Return whether a view shows no more than one noised model."""
    one_model = view.kind == "node" and release.rounds_after_noise == 0
    return one_model or mixing.nodes == 1
