"""The effect of one round's local steps on the divergence of two coupled runs: its growth and the added disturbance.

A local step θ ↦ θ − η∇f(θ) has the Jacobian I − ηH, with H the Hessian of f. Let s = Σ 1/B over the samples in the
step's minibatch be the weight of the batch (s = 1 where the step uses every sample), and let the data loss have
curvature between `lowest` and `highest`. Then H lies between s·lowest + l2 and s·highest + l2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.claim import Bound
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector
from rewindnet.certificates.training import TrainingRun

Matrix = NDArray[np.float64]


def strongest_regime(training: TrainingRun) -> Regime:
    """Return the regime with the smallest growth that the constants prove.

    Args:
        training: how the network learned.
    """
    return training.constants.regimes()[-1]


def local_growth(training: TrainingRun, regime: Regime) -> float:
    """Return γ, the Lipschitz constant of a local step θ ↦ θ − η∇f'(θ) on retained data.

    Args:
        training: how the network learned.
        regime: the regime, which gives the lower bound on the Hessian's eigenvalues; the upper bound is L.

    Raises:
        CertificateError: if the constants do not prove the regime.
    """
    low, high = curvatures(training, regime, np.ones(1))
    return float(np.maximum(1 - training.step_size * low, training.step_size * high - 1)[0])


def curvatures(training: TrainingRun, regime: Regime, share: Vector) -> tuple[Vector, Vector]:
    """Return bounds on the Hessian's eigenvalues for steps that use samples of a given total weight.

    Where the weight is not 1, the constants must hold for the loss of every single sample. They say nothing about a
    client that retains no data: its objective is the l2 term alone, with curvature l2. The bounds therefore include l2
    if there is such a client. (Derived constants never prove a larger lower bound than l2; declared ones may.)

    Args:
        training: how the network learned.
        regime: the regime.
        share: the total weights s, an array of any shape.

    Returns:
        The lower and the upper bounds, each of the shape of `share`.

    Raises:
        CertificateError: if the constants do not prove the regime, or are not known.
    """
    low, high = _curvatures_with_data(training, regime, share)
    if not _retains_nothing(training, training.deleted):
        return low, high
    l2 = training.constants.l2.value
    return np.minimum(low, l2), np.maximum(high, l2)


def _curvatures_with_data(training: TrainingRun, regime: Regime, share: Vector) -> tuple[Vector, Vector]:
    """Return the same bounds for clients that retain data."""
    constants = training.constants
    if not constants.known:
        raise CertificateError(constants.why_unknown)
    l2, smooth = constants.l2.value, constants.L.value - constants.l2.value
    lowest, high = constants.lowest_curvature(regime), share * smooth + l2
    if regime == "nonconvex":
        return -high, high
    low = share * (constants.strong_convexity.value - l2) + l2
    # An objective that is convex only because of its regulariser need not be convex on a batch of larger weight.
    return (np.minimum(low, lowest) if regime == "convex" else low), high


def _retains_nothing(training: TrainingRun, deleted: NDArray[np.int64]) -> bool:
    """Return whether a node of the network retains no data under any of the requests `deleted` [N] or [N, k]."""
    nothing = training.samples == deleted.T
    return bool(np.any(nothing & training.present))


def worst_case_disturbance(training: TrainingRun, round: int = 0) -> Matrix:
    """Return the disturbance b [E, N] of each local step of a round.

    With full gradients, b is 2ηmG/n where m of n samples are deleted, ηG where all are, and 0 elsewhere; where clients
    clip to C it is 2ηC and ηC (`_largest_change`). For a minibatch with m deleted samples, whose mean is taken over its
    expected size B whatever is deleted, b is ηmG/B.

    Args:
        training: how the network learned, and what was deleted.
        round: the round, on which minibatches and earlier deletions depend.
    """
    eta, shape = training.step_size_at(round), (training.local_steps, training.mixing.nodes)
    if training.batches is not None:
        return np.asarray(eta * training.constants.G.value * training.batches.shares(round)[1])
    earlier = training.already_deleted(round)
    change = _largest_change(training, training.samples - earlier, training.deleted - earlier)
    return np.broadcast_to(eta * change, shape)


def _largest_change(training: TrainingRun, samples: NDArray[np.int64], deleted: NDArray[np.int64]) -> Vector:
    """Return how far a deletion can move the gradient of each node's data loss, in the shape of `deleted`.

    The gradient of a client's Lipschitz envelope has norm at most C, and is 0 where no data are left. For a part it is
    2C, and not less: 2mG/n bounds the change of ∇f, but not of ∇f_C. Let f(z) = z₁²/(2K) + z₂²/2, and let ∇f' be (δ, 0)
    more. Where ∇f_C(θ) = (a, √(C² − a²)), a large K keeps a, so ∇f'_C(θ) = (a + δ, √(C² − (a + δ)²)), which for
    a = C − δ is √(2Cδ) away.

    Args:
        training: how the network learned.
        samples: [N], the samples before the deletion.
        deleted: [N] or [N, k], how many of them go.
    """
    if (clip := training.client_clip) is None:
        return training.constants.G.value * _deleted_share(samples, deleted)
    everything = samples.reshape(-1, *[1] * (deleted.ndim - 1)) == deleted
    return np.where(deleted > 0, np.where(everything, clip, 2 * clip), 0.0)


def _deleted_share(samples: NDArray[np.int64], deleted: NDArray[np.int64]) -> Vector:
    """Return the change of each node's mean gradient in units of G, in the shape of `deleted`.

    It is 2m/n where m of n samples are deleted, and 1 where all are.
    """
    n, m = np.broadcast_to(samples.reshape(-1, *[1] * (deleted.ndim - 1)), deleted.shape), deleted.astype(float)
    share = np.divide(2 * m, n, out=np.zeros_like(m), where=n > 0)
    return np.where((m == n) & (m > 0), 1.0, share)


def powers(base: float, E: int) -> Vector:
    """Return base^0 … base^E; powers that overflow are infinite.

    Args:
        base: the base.
        E: the largest exponent.
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.float64(base) ** np.arange(E + 1))


@dataclass(frozen=True)
class RoundEffect:
    """The effect of the E local steps of a round.

    Attributes:
        growth: [N], the Lipschitz constant of the E steps together.
        centre: [N], p; the Jacobian of the E steps is p·I plus a remainder.
        remainder: [N], a bound on the norm of that remainder.
        disturbance: [N, k], b_E for each of k requests.
        disturbed: [N, k], a mask of the nodes where b_E may be other than 0.
    """

    growth: Vector
    centre: Vector
    remainder: Vector
    disturbance: Matrix
    disturbed: NDArray[np.bool_]


class LocalSteps:
    """The effect of the local steps of every round, for k deletion requests at once.

    Args:
        training: how the network learned. With minibatches, earlier deletions or an instance bound, `deleted` must be
            its own request.
        regime: the curvature to assume.
        bound: `worst-case`, or `instance` from the ledger.
        deleted: [N, k], the number of samples that each request deletes at each node.

    Raises:
        CertificateError: if an instance bound is asked for and there is no ledger, or one of another run.
    """

    def __init__(self, training: TrainingRun, regime: Regime, bound: Bound, deleted: NDArray[np.int64]) -> None:
        self._training, self._regime, self._deleted = training, regime, deleted
        self._present = training.present[:, None]
        # The requests need not be the one in `training`.
        self._retains_nothing = _retains_nothing(training, deleted)
        self._measured = _measured_disturbances(training) if bound == "instance" else None
        self._full_steps = self._jacobians(np.ones((training.local_steps, 1)))
        change = _largest_change(training, training.samples, deleted)
        self._full_disturbance = training.step_size * change * self._present

    def undisturbed(self, round: int) -> RoundEffect:
        """Return the effect of a round in which both runs use retained data only.

        Args:
            round: t.
        """
        zero = np.zeros(self._deleted.shape)
        return self._effect(round, lambda later_growth: zero, zero > 0)

    def disturbed(self, round: int) -> RoundEffect:
        """Return the effect of a round in which one of the runs uses the deleted samples.

        Args:
            round: t.
        """
        training = self._training
        if self._measured is not None:
            measured = self._measured[round]
            return self._effect(
                round, lambda later_growth: (later_growth * measured).sum(axis=0)[:, None], self._uses_deleted(round)
            )
        if training.batches is None:
            disturbance = self._full_disturbance
            if training.earlier_deletions:
                disturbance = worst_case_disturbance(training, round)[0][:, None] * self._present
            return self._effect(
                round, lambda later_growth: later_growth.sum(axis=0)[:, None] * disturbance, disturbance > 0
            )
        _, deleted_share = training.batches.shares(round)
        gradient_step = training.step_size * training.constants.G.value
        return self._effect(
            round,
            lambda later_growth: gradient_step * (later_growth * deleted_share).sum(axis=0)[:, None] * self._present,
            self._uses_deleted(round),
        )

    def _uses_deleted(self, round: int) -> NDArray[np.bool_]:
        """Return a mask [N, 1] of the nodes that use a deleted sample in that round."""
        batches = self._training.batches
        if batches is None:
            return np.asarray((self._deleted > self._training.already_deleted(round)[:, None]) & self._present)
        share = batches.shares(round)[1].sum(axis=0)[:, None]
        return np.asarray((share > 0) & self._present)

    def _effect(self, round: int, disturbance: Callable[[Matrix], Matrix], disturbed: NDArray[np.bool_]) -> RoundEffect:
        """Return the effect of a round.

        Args:
            round: t.
            disturbance: returns b_E [N, k], given the growth [E, N] or [E, 1] of the steps after each step.
            disturbed: [N, k], a mask of the nodes where b_E may be other than 0.
        """
        batches, participating = self._training.batches, self._training.mixing.participating(round)
        growth, centre = self._full_steps if batches is None else self._jacobians(batches.shares(round)[0])
        # b_E = Σ_k b_k·Π_{l>k} γ_l: the disturbance of a step is multiplied by the growth of the steps after it.
        with np.errstate(over="ignore", invalid="ignore"):
            step_growth = np.vstack([np.ones((1, growth.shape[1])), growth[:0:-1]])
            later_growth: Matrix = np.multiply.accumulate(step_growth, axis=0)[::-1]
            growth_of_all, centre_of_all = growth.prod(axis=0), centre.prod(axis=0)
            remainder, b = growth_of_all - np.abs(centre_of_all), disturbance(later_growth)
        if participating is None:
            return RoundEffect(growth_of_all, centre_of_all, remainder, b, disturbed)
        active = participating[:, None]
        return RoundEffect(
            np.where(participating, growth_of_all, 1.0),
            np.where(participating, centre_of_all, 1.0),
            np.where(participating, remainder, 0.0),
            np.where(active, b, 0.0),
            disturbed & active,
        )

    def _jacobians(self, share: Matrix) -> tuple[Matrix, Matrix]:
        """Return (γ, p), each [E, N] or [E, 1]: the Jacobian of a step is p·I + a·R with ‖R‖ ≤ 1 and |p| + a = γ."""
        eta, l2 = self._training.step_size, self._training.constants.l2.value
        low, high = curvatures(self._training, self._regime, share)
        if self._retains_nothing:
            low, high = np.minimum(low, l2), np.maximum(high, l2)
        return np.maximum(1 - eta * low, eta * high - 1), 1 - eta * (high + low) / 2


def consensus_growth(effect: RoundEffect, W: csr_array) -> Vector:
    """Return κ [N], the Lipschitz constant of θ ↦ W_ii·θ + (D(θ) − θ), with D the E local steps.

    1. With Hessians between `lowest` and L, a step's Jacobian is p·I + a·R with ‖R‖ ≤ 1, p = 1 − η(L + lowest)/2 and
       a = η(L − lowest)/2, so |p| + a = γ.
    2. The product of E such Jacobians is p^E·I plus a remainder of norm at most γ^E − |p|^E.
    3. Hence κ_i = |p^E − (1 − W_ii)| + γ^E − |p|^E. For E = 1 this is ‖W_ii·I − ηH‖ exactly.

    Args:
        effect: the effect of the round's local steps.
        W: the mixing matrix [N, N] of the round.
    """
    return np.asarray(np.abs(effect.centre - (1 - W.diagonal())) + effect.remainder)


def _measured_disturbances(training: TrainingRun) -> Matrix:
    """Return the measured disturbances [T, E, N] of the ledger."""
    if training.ledger is None:
        raise CertificateError("an instance bound needs the ledger of measured disturbances that learning keeps")
    nodes, measured = list(training.ledger.nodes), training.ledger.disturbance
    if set(nodes) != set(np.flatnonzero((training.deleted > 0) & training.present).tolist()):
        raise CertificateError("the ledger's disturbances are not those of the nodes whose samples are deleted")
    if measured.shape != (training.rounds, training.local_steps, len(nodes)):
        raise CertificateError(
            f"the ledger's disturbances have the shape {measured.shape}, not [rounds, local steps, nodes]"
        )
    result = np.zeros((training.rounds, training.local_steps, training.mixing.nodes))
    result[:, :, nodes] = measured
    return result
