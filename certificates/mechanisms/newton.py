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

#: Up to this number of nodes λ_min is computed from all eigenvalues; above, it is bounded by Gershgorin's discs.
_DENSE = 500

#: A generous bound on the relative error of a norm that is computed in double precision.
_NORM = 1e-6

_DOUBLE = 2.0**-53


@dataclass(frozen=True)
class Stacked(DivergenceBounds):
    """Divergence bounds with a separate bound on the stacked models.

    Attributes:
        together: a bound on the norm of the stacked difference, which may be below √Σ_i nodes_i².
    """

    together: float = inf


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
        """Return the distance [N] of each node's initial model from the fixed point, or a bound on it."""
        constants, start = training.constants, np.array(self.moved) * (1 + _NORM) + near
        if training.arithmetic is None:
            return start
        steepest = constants.G.value + constants.l2.value * training.arithmetic.initial_norm
        return np.minimum(start, steepest / _ends(training)[0])

    def _charged(self, training: TrainingRun, W: csr_array) -> Vector:
        """Return a bound [N] on the error of the residual by rounding."""
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
        if any(not 0 <= one < inf for one in (*self.residual, *self.moved)):
            raise CertificateError("a residual is a non-negative number, and so is a distance")

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ as for noise on a checkpoint: over all nodes whose noised models the view depends on."""
        if not bounds.nodes.size or (view.shows_messages and bounds.nodes.any()):
            return inf
        apart = mu_of_view(view, bounds.nodes, release, mixing)
        if isinstance(bounds, Stacked) and np.all(release.sigma > 0):
            return min(apart, bounds.together / float(release.sigma.min()))
        return apart

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

    def account(self, release: Release, rounds: int) -> str:
        """Return how long the correction took, and how many rounds followed."""
        return (
            f"corrected all models by a Newton step of {self.rounds:,} rounds, added {noise_size(release)}, and ran "
            f"{release.descent_rounds:,} more"
        )

    def covers(self, release: Release, own: View, other: View) -> bool:
        """Return the same as for one Gaussian vector per node; messages of the correction are never covered."""
        return own == other or (not other.shows_messages and GaussianOutput().covers(release, own, other))


@dataclass(frozen=True)
class NewtonSharedNoise(Newton):
    """The Newton mechanism with one noise vector for all nodes, as in the paper of the method.

    The difference of two nodes' models then carries no noise, so only a model that depends on a single noised model is
    covered.
    """

    kind: ClassVar[str] = "newton-shared-noise"
    one_vector: ClassVar[bool] = False
    noise_label: ClassVar[str] = "correction, shared"

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of one noised model; infinite for views that depend on several."""
        if not bounds.nodes.size:
            return inf
        if not _alone(view, release, mixing):
            return 0.0 if not bounds.nodes.any() else inf
        return mu_of_view(view, bounds.nodes, release, mixing)

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason also for views that depend on several models."""
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
    """Return whether a view shows no more than one noised model."""
    one_model = view.kind == "node" and release.rounds_after_noise == 0
    return one_model or mixing.nodes == 1


def check_contraction(training: TrainingRun, further: int) -> float:
    """Refuse a network whose rounds are not one and the same contraction, and return its factor c.

    Args:
        training: how the network learns.
        further: the number of rounds after learning that must use the same mixing matrix.

    Returns:
        c for the stacked models.

    Raises:
        CertificateError: with the reason.
    """
    constants, mixing = training.constants, training.mixing
    if training.order != "consensus-plus-gradient":
        raise CertificateError(
            "a Newton correction is for networks that learn in the order consensus-plus-gradient, whose fixed point "
            f"minimises one objective; this one learns in the order {training.order}"
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
            "where l2 is 0: set l2 above 0"
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
            f"step_size {training.step_size:g} does not let this network converge (distances may grow by a factor of "
            f"{c:.4g} in a round); choose one below (1 + λ_min(W))/L = {limit:.6g}"
        )
    return c


def _ends(training: TrainingRun) -> tuple[float, float]:
    """Return (μ, L), which hold for every F'_i, also of a client that retains nothing."""
    low, high = curvatures(training, "strongly-convex", np.ones(1))
    return float(low[0]), float(high[0])


def _factor(training: TrainingRun, W: csr_array) -> float:
    """Return c = max(|1 − γμ|, |λ_min(W) − γL|)."""
    gamma, (low, high) = training.step_size, _ends(training)
    top, bottom = 1 - gamma * low, lowest_eigenvalue(W) - gamma * high
    return max(abs(top), abs(bottom))


def lowest_eigenvalue(W: csr_array) -> float:
    """Return a lower bound on the eigenvalues of a symmetric, non-negative matrix whose rows sum to 1.

    Gershgorin's discs give 2·min W_ii − 1. On small networks the smallest eigenvalue is computed, less its possible
    error.

    Args:
        W: the matrix [N, N].
    """
    discs = 2 * float(W.diagonal().min()) - 1 - 1e-9
    if W.shape[0] > _DENSE:
        return discs
    return max(discs, float(linalg.eigvalsh(W.toarray())[0]) - 1e-9)


def dominated(W: csr_array, pull: float, right: Vector) -> Vector:
    """Return a vector [N] that is at least the solution a of ((1 + pull)·I − W)a = right, entry by entry.

    The matrix takes the vector 1 to pull·1. So the residual of an approximate solution is compensated by adding its
    maximum, divided by pull, to every entry.

    Args:
        W: a mixing matrix [N, N], whose rows sum to 1.
        pull: γμ > 0.
        right: the right-hand side [N], ≥ 0.
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
    """Return bounds on the distance of the retrained models from the fixed point after T rounds, as in (2).

    Args:
        training: how the network learned.
        start: [N], the distances of the initial models from the fixed point.

    Returns:
        What remains of `start`, and what rounding adds.
    """
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
    # A node is no further from the fixed point than the stacked models. Where the node-wise recursion diverges, only
    # that bound is finite.
    nodes = np.fmin(both, norms)
    together = np.fmin(np.linalg.norm(both, axis=0), norms)
    return tuple(Stacked(nodes[:, k], together=float(together[k])) for k in (0, 1))  # type: ignore[return-value]
