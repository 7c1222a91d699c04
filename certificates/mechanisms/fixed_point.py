"""Distances from the fixed point of consensus-plus-gradient with one symmetric W and full gradients.

They are the parts of the bounds (1) and (2) in `mechanisms.newton`, where they are proven. The round is
X ↦ T(X) = WX − γ∇F'(X), with every F'_i μ-strongly convex and L-smooth.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
import scipy
from scipy.sparse import csr_array, diags_array, eye_array

from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector
from rewindnet.certificates.sensitivity.local_steps import curvatures
from rewindnet.certificates.sensitivity.rounding import charges
from rewindnet.certificates.training import TrainingRun

#: The unit roundoff of double precision.
DOUBLE = 2.0**-53

#: Up to this number of nodes λ_min is computed from all eigenvalues; above, it is bounded by Gershgorin's discs.
_DENSE = 500


@dataclass(frozen=True)
class StackedBounds(DivergenceBounds):
    """Divergence bounds with a separate bound on the stacked models.

    Attributes:
        stacked: a bound on the norm of the stacked difference, which may be below √Σ_i nodes_i².
    """

    stacked: float = inf


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
    _check_objective(training)
    mixing = training.mixing
    W = mixing.matrix(0)
    if any(mixing.matrix(t) is not W or mixing.participating(t) is not None for t in range(training.rounds + further)):
        raise CertificateError("a Newton correction is for a network that is the same in every round: schedule static")
    if abs(W - W.T).max() > 0 or (W.nnz and W.data.min() < 0):
        raise CertificateError("a Newton correction needs a symmetric mixing matrix of non-negative weights")
    c = _contraction_factor(training, W)
    if not c < 1:
        limit = (1 + lowest_eigenvalue(W)) / training.constants.L.value
        raise CertificateError(
            f"step_size {training.step_size:g} does not let this network converge (distances may grow by a factor of "
            f"{c:.4g} in a round); choose one below (1 + λ_min(W))/L = {limit:.6g}"
        )
    return c


def _check_objective(training: TrainingRun) -> None:
    """Refuse learning whose rounds are not gradient steps on one strongly convex objective."""
    constants = training.constants
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
    if not curvature_bounds(training)[0] > 0:
        raise CertificateError(
            "a Newton correction needs a strongly convex objective, and that of a client that retains nothing is flat "
            "where l2 is 0: set l2 above 0"
        )


def curvature_bounds(training: TrainingRun) -> tuple[float, float]:
    """Return (μ, L), which hold for every F'_i, also of a client that retains nothing."""
    low, high = curvatures(training, "strongly-convex", np.ones(1))
    return float(low[0]), float(high[0])


def _contraction_factor(training: TrainingRun, W: csr_array) -> float:
    """Return c = max(|1 − γμ|, |λ_min(W) − γL|)."""
    gamma, (low, high) = training.step_size, curvature_bounds(training)
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
    return max(discs, float(scipy.linalg.eigvalsh(W.toarray())[0]) - 1e-9)


def upper_solution(W: csr_array, pull: float, right: Vector) -> Vector:
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
    approximate, _ = scipy.sparse.linalg.cg(A, right / scale, rtol=1e-13, atol=0.0, maxiter=10_000)
    approximate = np.maximum(approximate, 0.0)
    terms = int(np.diff(W.indptr).max()) + 4
    shortfall = float((right / scale - A @ approximate).max(initial=0.0))
    shortfall += 8 * terms * DOUBLE * (float(approximate.max()) + 1)
    return np.asarray(scale * (approximate + shortfall / float((A @ np.ones_like(right)).min())))


def retraining_distance(training: TrainingRun, start: Vector) -> tuple[StackedBounds, StackedBounds]:
    """Return bounds on the distance of the retrained models from the fixed point after T rounds of retraining.

    Args:
        training: how the network learned.
        start: [N], the distances of the initial models from the fixed point.

    Returns:
        What remains of `start`, and what rounding adds.
    """
    W, gamma = training.mixing.matrix(0), training.step_size
    low, high = curvature_bounds(training)
    diagonal = W.diagonal()
    kappa = np.maximum(np.abs(diagonal - gamma * low), np.abs(gamma * high - diagonal))
    transition, c = csr_array(W + diags_array(kappa - diagonal)), _contraction_factor(training, W)
    distances = np.stack([start, np.zeros_like(start)], axis=1)
    norms, N = np.array([np.linalg.norm(start), 0.0]), len(start)
    with np.errstate(over="ignore", invalid="ignore"):
        for charge in charges(training, "strongly-convex", training.rounds, "worst-case"):
            distances, norms = transition @ distances, c * norms
            distances[:, 1] += charge
            norms[1] += charge * N**0.5
    # A node is no further from the fixed point than the stacked models. Where the node-wise recursion diverges, only
    # that bound is finite.
    nodes = np.fmin(distances, norms)
    stacked = np.fmin(np.linalg.norm(distances, axis=0), norms)
    return StackedBounds(nodes[:, 0], stacked=float(stacked[0])), StackedBounds(nodes[:, 1], stacked=float(stacked[1]))
