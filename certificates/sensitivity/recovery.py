"""Recovery of earlier models from the last ones: what it takes, and by how much the result can be off.

A round of learning is inverted by inverting its mixing matrix and its local steps θ ↦ θ − η∇f(θ), which are injective
where ηL < 1 (Mu and Klabjan 2025, arXiv 2409.09778, Algorithm 3, for one machine). The proof of the bound is in
docs/certificates.md, "Recovered models".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector
from rewindnet.certificates.sensitivity.bounds import propagate
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.sensitivity.rounding import charges, norm_before
from rewindnet.certificates.training import TrainingRun

#: The largest ηL up to which local steps are inverted: errors grow by 1/(1 − ηL) with each.
LARGEST_CONTRACTION = 0.9
#: The largest condition number of a mixing matrix that is inverted.
LARGEST_CONDITION = 1e6
#: The largest network whose mixing matrices are inverted, as dense matrices.
LARGEST_NETWORK = 2_000
#: The largest part of the sensitivity of a checkpoint that the error of its recovery may be.
LARGEST_SHARE = 0.1
#: By how much results of a few thousand sums and products in double precision are raised, relative to themselves.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Inverse:
    """The inverse of a mixing matrix W.

    Attributes:
        matrix: X ≈ W⁻¹ [N, N]; every entry is stored, because every node needs the message of every other.
        defect: a bound on the largest row sum of |XW − I|.
        norm: a bound on the spectral norm of W⁻¹.
    """

    matrix: csr_array
    defect: float
    norm: float

    def bound(self, v: Vector) -> Vector:
        """Return bounds [N] on the norms of the rows of W⁻¹V, given bounds v [N] on those of V [N, d].

        W⁻¹ = (I + E)⁻¹X with E = XW − I, and (I + E)⁻¹ = I − E(I + E)⁻¹, whose second part has row sums of at most
        ‖E‖/(1 − ‖E‖).
        """
        reached = np.abs(self.matrix) @ v
        return np.asarray((reached + self.defect / (1 - self.defect) * reached.max()) * (1 + _ROUNDING))


def invert(W: csr_array, round: int) -> Inverse:
    """Invert a mixing matrix.

    Args:
        W: [N, N].
        round: its round, for the message.

    Raises:
        CertificateError: if the network is too large, or the matrix singular or too ill-conditioned.
    """
    N = W.shape[0]
    if N > LARGEST_NETWORK:
        raise CertificateError(
            f"earlier models are recovered in networks of up to {LARGEST_NETWORK:,} nodes, whose mixing matrices are "
            f"inverted as dense matrices; this one has {N:,}: keep checkpoints, with learning.checkpoints.every"
        )
    dense = W.toarray()
    singular = np.linalg.svd(dense, compute_uv=False)
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf
    if condition > LARGEST_CONDITION:
        raise CertificateError(
            f"the mixing matrix of round {round} has the condition number {condition:.3g}, and earlier models are "
            f"recovered up to {LARGEST_CONDITION:.0e}: it takes models to averages from which they do not follow; "
            "topology.mixing=lazy-metropolis-hastings has an inverse on every graph"
        )
    X = np.linalg.inv(dense)
    unit = np.finfo(np.float64).eps / 2
    computed = float(np.abs(X @ dense - np.eye(N)).sum(axis=1).max())
    defect = computed + 2 * (N + 2) * unit * float((np.abs(X) @ np.abs(dense)).sum(axis=1).max())
    columns = np.tile(np.arange(N), N)
    # The smallest singular value is computed to within a few units of roundoff of the largest.
    norm = float(1 / (singular[-1] - 10 * N * unit * singular[0]))
    return Inverse(csr_array((X.ravel(), columns, np.arange(0, N * N + 1, N)), shape=(N, N)), defect, norm)


class Inverses:
    """The inverses of mixing matrices; that of the latest matrix is kept, as static schedules have but one."""

    def __init__(self) -> None:
        self._latest: tuple[csr_array, Inverse] | None = None

    def __call__(self, W: csr_array, round: int) -> Inverse:
        """Return the inverse of W, as `invert` does."""
        if self._latest is None or self._latest[0] is not W:
            self._latest = W, invert(W, round)
        return self._latest[1]


class StepSolver(NamedTuple):
    """How a local step θ⁺ = θ − η∇f(θ) is solved for θ: by the Chebyshev iteration.

    Golub and Varga (1961), "Chebyshev semi-iterative methods". It converges by the factor (√κ − 1)/(√κ + 1) with
    κ = highest/lowest; whether it did is seen when the round is run again.

    `lowest`, `highest`: bounds on the eigenvalues of I − ηH. `gradients`: the number of gradients that one step takes.
    """

    lowest: float
    highest: float
    gradients: int


def step_solver(training: TrainingRun) -> StepSolver:
    """Return how local steps are solved for the point from which they were taken, to within rounding.

    Args:
        training: how the network learned.

    Raises:
        CertificateError: if learning of this kind cannot be inverted, or not provably.
    """
    _check_kind(training)
    contraction = max(float(_contraction(training, t).max()) for t in range(training.rounds))
    if contraction > LARGEST_CONTRACTION:
        raise CertificateError(
            f"earlier models are recovered where step_size·L is at most {LARGEST_CONTRACTION}, so that a local step "
            f"can be inverted; here it reaches {contraction:.3g}: a step_size of "
            f"{training.step_size * LARGEST_CONTRACTION / contraction:.3g} would do"
        )
    convex = strongest_regime(training) in ("convex", "strongly-convex")
    lowest, highest = 1 - contraction, 1.0 if convex else 1 + contraction
    root = sqrt(highest / lowest)
    unit = training.arithmetic.unit_roundoff if training.arithmetic else 2.0**-53
    return StepSolver(lowest, highest, ceil(log(2 / unit) / log((root + 1) / (root - 1))) + 1)


def _check_kind(training: TrainingRun) -> None:
    """Refuse learning whose rounds are not inverted."""
    L = training.constants.L
    problems = {
        training.uncovered: bool(training.uncovered),
        f"the smoothness constant L of the model is {L.provenance}, and the proof needs a proven one": (
            L.provenance not in ("proven", "enforced")
        ),
        "a projection (learning.radius) has no inverse": training.radius is not None,
        "clipped gradients (learning.client_clip) are known up to a tolerance": training.client_clip is not None,
        "of consensus-plus-gradient, mixing and gradient would have to be inverted together": (
            training.order == "consensus-plus-gradient"
        ),
        "a departure changes the mixing matrices": bool(training.departed),
    }
    for problem, holds in problems.items():
        if holds:
            raise CertificateError(
                f"earlier models cannot be recovered from the last ones (learning.checkpoints.recover): {problem}; "
                "keep checkpoints, with learning.checkpoints.every"
            )


def _contraction(training: TrainingRun, round: int) -> Vector:
    """Return ηL of each local step on all data [E, N]; 0 at nodes that take none."""
    constants, eta = training.constants, training.step_size_at(round)
    share: NDArray[np.float64] = np.ones((training.local_steps, training.mixing.nodes))
    if training.batches is not None:
        retained, deleted = training.batches.shares(round)
        share = retained + deleted
    l2 = constants.l2.value
    contraction = eta * (share * (constants.L.value - l2) + l2)
    participating = training.mixing.participating(round)
    return contraction if participating is None else np.where(participating, contraction, 0.0)


def recovery_error(
    training: TrainingRun, rounds: range, apart: Vector, inverse: Callable[[csr_array, int], Inverse] | None = None
) -> Vector:
    """Return a bound [N] on the distance of recovered models from those of learning ("Recovered models").

    Args:
        training: how the network learned.
        rounds: the rounds s … e−1 that were inverted.
        apart: [N], how far the models after round e are from those to which the recovered ones lead, when these rounds
            are run again; with a bound on the error of the models of round e that recovery began from.
        inverse: returns the inverse of the matrix of a round; `invert` by default.

    Raises:
        CertificateError: as `step_solver` and `invert`.
    """
    step_solver(training)
    inverse, charged = (
        inverse or Inverses(),
        list(charges(training, strongest_regime(training), rounds.stop, "worst-case")),
    )
    a = np.asarray(apart, dtype=np.float64) * (1 + _ROUNDING)
    for t in reversed(rounds):
        W = inverse(training.mixing.matrix(t), t)
        steps = 1 / np.prod(1 - _contraction(training, t), axis=0)
        a = a + charged[t]
        if training.order == "adapt-then-combine":
            a = steps * np.minimum(W.bound(a), W.norm * float(np.linalg.norm(a)))
        else:
            a = steps * a
            a = np.minimum(W.bound(a), W.norm * float(np.linalg.norm(a)))
        a = a * (1 + _ROUNDING)
    return np.asarray(a)


def check_recovery(training: TrainingRun, rounds: range) -> None:
    """Check before learning that models can be recovered to within what is charged for it.

    Args:
        training: how the network learns; its `recovery_error` is the error that is charged.
        rounds: the rounds s … T−1 that are to be inverted.

    Raises:
        CertificateError: if learning of this kind cannot be inverted, rounding alone may grow beyond the error that is
            charged, or that error is too large a part of the sensitivity.
    """
    charged, inverse = training.recovery_error, Inverses()
    if rounds.start == rounds.stop:
        return
    nothing = np.zeros(training.mixing.nodes)
    least = float(recovery_error(training, rounds, nothing, inverse).max())
    if not least <= charged:
        raise CertificateError(
            f"the models after round {rounds.start} cannot be recovered to within {charged:g}, the error that "
            f"learning.checkpoints.recover charges: on the way back over {len(rounds)} rounds, rounding alone may grow "
            f"to {least:.3g}; {_reached(training, rounds.stop, inverse)}"
        )
    exact = replace(training, recovery_error=0.0)
    sensitivity = float(propagate(exact, disturbed=rounds.start, undisturbed=0).total.max())
    if charged > LARGEST_SHARE * sensitivity:
        raise CertificateError(
            f"learning.checkpoints.recover charges an error of {charged:g}, which is more than a "
            f"{1 / LARGEST_SHARE:.0f}th of the sensitivity {sensitivity:.3g} of the models after round {rounds.start}: "
            f"charge at most {LARGEST_SHARE * sensitivity:.3g}, or keep that checkpoint"
        )


def _reached(training: TrainingRun, end: int, inverse: Callable[[csr_array, int], Inverse]) -> str:
    """Say how many rounds can be recovered."""
    depth, nothing = 0, np.zeros(training.mixing.nodes)
    while depth < end:
        back = range(end - depth - 1, end)
        if not float(recovery_error(training, back, nothing, inverse).max()) <= training.recovery_error:
            break
        depth += 1
    return f"{depth} rounds can be recovered" if depth else "no round can be recovered"


def check_recovered_norms(training: TrainingRun, round: int, norms: Vector) -> None:
    """Check that recovered models are no larger than those for which rounding is charged.

    Args:
        training: how the network learned.
        round: the round after which they are models of the network.
        norms: their norms.

    Raises:
        CertificateError: if one is larger.
    """
    allowed = norm_before(training, round) + training.recovery_error
    if not float(norms.max(initial=0.0)) <= allowed:
        raise CertificateError(
            f"a model that was recovered for round {round} has the norm {norms.max():.3g}, and no model of learning "
            f"has more than {allowed:.3g}"
        )
