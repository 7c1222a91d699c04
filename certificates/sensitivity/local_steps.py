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
from rewindnet.certificates.training import TrainingRun, Vector

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
        CertificateError: if the constants do not prove the regime.
    """
    low, high = _with_samples(training, regime, share)
    if not _bare(training, training.deleted):
        return low, high
    l2 = training.constants.l2.value
    return np.minimum(low, l2), np.maximum(high, l2)


def _with_samples(training: TrainingRun, regime: Regime, share: Vector) -> tuple[Vector, Vector]:
    """Return the same bounds for clients that retain data."""
    constants = training.constants
    l2, smooth = constants.l2.value, constants.L.value - constants.l2.value
    lowest, high = constants.lowest_curvature(regime), share * smooth + l2
    if regime == "nonconvex":
        return -high, high
    low = share * (constants.strong_convexity.value - l2) + l2
    # An objective that is convex only because of its regulariser need not be convex on a batch of larger weight.
    return (np.minimum(low, lowest) if regime == "convex" else low), high


def _bare(training: TrainingRun, deleted: NDArray[np.int64]) -> bool:
    """Return whether a node of the network retains no data under any of the requests `deleted` [N] or [N, k]."""
    nothing = training.samples == deleted.T
    return bool(np.any(nothing & training.present))


def worst_case_disturbance(training: TrainingRun, round: int = 0) -> Matrix:
    """Return the disturbance b [E, N] of each local step of a round.

    With full gradients, b is 2ηmG/n where m of n samples are deleted, ηG where all are, and 0 elsewhere. For a
    minibatch with m deleted samples, whose mean is taken over its expected size B whatever is deleted, b is ηmG/B.

    Args:
        training: how the network learned, and what was deleted.
        round: the round, on which minibatches and earlier deletions depend.
    """
    eta, G, shape = training.step_size, training.constants.G.value, (training.local_steps, training.mixing.nodes)
    if training.batches is not None:
        return np.asarray(eta * G * training.batches.shares(round)[1])
    taken = training.already_deleted(round)
    return np.broadcast_to(eta * G * _deleted_share(training.samples - taken, training.deleted - taken), shape)


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
class Round:
    """The effect of the E local steps of a round.

    Attributes:
        growth: [N], the Lipschitz constant of the E steps together.
        centre: [N], p; the Jacobian of the E steps is p·I plus a remainder.
        spread: [N], a bound on the norm of that remainder.
        disturbance: [N, k], b_E for each of k requests.
        fresh: [N, k], a mask of the nodes where b_E may be other than 0.
    """

    growth: Vector
    centre: Vector
    spread: Vector
    disturbance: Matrix
    fresh: NDArray[np.bool_]


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
        self._learning, self._regime, self._deleted = training, regime, deleted
        self._stay = training.present[:, None]
        # The requests need not be the one in `training`.
        self._empties = _bare(training, deleted)
        self._measured = _measured(training) if bound == "instance" else None
        self._whole = self._steps(np.ones((training.local_steps, 1)))
        share = _deleted_share(training.samples, deleted) * self._stay
        self._constant = training.step_size * training.constants.G.value * share

    def quiet(self, round: int) -> Round:
        """Return the effect of a round in which both runs use retained data only.

        Args:
            round: t.
        """
        nothing = np.zeros(self._deleted.shape)
        return self._round(round, lambda after: nothing, nothing > 0)

    def disturbed(self, round: int) -> Round:
        """Return the effect of a round in which one of the runs uses the deleted samples.

        Args:
            round: t.
        """
        training = self._learning
        if self._measured is not None:
            measured = self._measured[round]
            return self._round(round, lambda after: (after * measured).sum(axis=0)[:, None], self._read(round))
        if training.earlier_deletions and training.batches is None:
            some = worst_case_disturbance(training, round)[0][:, None] * self._stay
            return self._round(round, lambda after: after.sum(axis=0)[:, None] * some, some > 0)
        if training.batches is None:
            return self._round(round, lambda after: after.sum(axis=0)[:, None] * self._constant, self._constant > 0)
        _, gone = training.batches.shares(round)
        step = training.step_size * training.constants.G.value
        return self._round(
            round, lambda after: step * (after * gone).sum(axis=0)[:, None] * self._stay, self._read(round)
        )

    def _read(self, round: int) -> NDArray[np.bool_]:
        """Return a mask [N, 1] of the nodes that use a deleted sample in that round."""
        batches = self._learning.batches
        if batches is None:
            return np.asarray((self._deleted > self._learning.already_deleted(round)[:, None]) & self._stay)
        read = batches.shares(round)[1].sum(axis=0)[:, None]
        return np.asarray((read > 0) & self._stay)

    def _round(self, round: int, disturbance: Callable[[Matrix], Matrix], fresh: NDArray[np.bool_]) -> Round:
        batches, participating = self._learning.batches, self._learning.mixing.participating(round)
        growth, centre = self._whole if batches is None else self._steps(batches.shares(round)[0])
        # b_E = Σ_k b_k·Π_{l>k} γ_l: the disturbance of a step is multiplied by the growth of the steps after it.
        with np.errstate(over="ignore", invalid="ignore"):
            later = np.vstack([np.ones((1, growth.shape[1])), growth[:0:-1]])
            after: Matrix = np.multiply.accumulate(later, axis=0)[::-1]
            whole, middle = growth.prod(axis=0), centre.prod(axis=0)
            rest, b = whole - np.abs(middle), disturbance(after)
        if participating is None:
            return Round(whole, middle, rest, b, fresh)
        active = participating[:, None]
        return Round(
            np.where(participating, whole, 1.0),
            np.where(participating, middle, 1.0),
            np.where(participating, rest, 0.0),
            np.where(active, b, 0.0),
            fresh & active,
        )

    def _steps(self, share: Matrix) -> tuple[Matrix, Matrix]:
        """Return (γ, p), each [E, N] or [E, 1]: the Jacobian of a step is p·I + a·R with ‖R‖ ≤ 1 and |p| + a = γ."""
        eta, l2 = self._learning.step_size, self._learning.constants.l2.value
        low, high = curvatures(self._learning, self._regime, share)
        if self._empties:
            low, high = np.minimum(low, l2), np.maximum(high, l2)
        return np.maximum(1 - eta * low, eta * high - 1), 1 - eta * (high + low) / 2


def held(round: Round, W: csr_array) -> Vector:
    """Return κ [N], the Lipschitz constant of θ ↦ W_ii·θ + (D(θ) − θ), with D the E local steps.

    1. With Hessians between `lowest` and L, a step's Jacobian is p·I + a·R with ‖R‖ ≤ 1, p = 1 − η(L + lowest)/2 and
       a = η(L − lowest)/2, so |p| + a = γ.
    2. The product of E such Jacobians is p^E·I plus a remainder of norm at most γ^E − |p|^E.
    3. Hence κ_i = |p^E − (1 − W_ii)| + γ^E − |p|^E. For E = 1 this is ‖W_ii·I − ηH‖ exactly.

    Args:
        round: the local steps of the round.
        W: the mixing matrix [N, N] of the round.
    """
    return np.asarray(np.abs(round.centre - (1 - W.diagonal())) + round.spread)


def mixing_drift(training: TrainingRun, bound: Bound) -> Callable[[int], Vector]:
    """Return the function that bounds the drift [N] of a round, ‖Σ_j (W_t − W'_t)_ij·x_j‖ at every node i.

    W_t are the mixing matrices of learning, W'_t those of the network without the departed nodes, and x the messages.
    In the worst case, the rows of W_t and of W'_t both sum to 1, so Σ_j (W − W')_ij·x_j = Σ_j (W − W')_ij·(x_j − c) for
    any c; for messages in a ball of radius R this is at most R·Σ_j |W − W'|_ij. Without a departure the drift is 0.

    Args:
        training: how the network learned.
        bound: `worst-case`, or `instance` from the ledger.

    Returns:
        A function of the round t.

    Raises:
        CertificateError: if the worst case is asked for without a projection radius, or an instance bound without the
            measured drift.
    """
    N, mixing_before = training.mixing.nodes, training.mixing_before
    if mixing_before is None:
        none = np.zeros(N)
        return lambda t: none
    if bound == "instance":
        ledger = training.ledger
        if (
            ledger is None
            or ledger.mixing_drift is None
            or ledger.mixing_drift.shape != (training.rounds, len(ledger.affected_nodes))
        ):
            raise CertificateError("an instance bound after a departure needs the drift measured during learning")
        affected_nodes, measured = list(ledger.affected_nodes), ledger.mixing_drift

        def instance(t: int) -> Vector:
            moved = np.zeros(N)
            moved[affected_nodes] = measured[t]
            weighs_otherwise = changed(training, t) > 0
            missed = weighs_otherwise & (moved == 0)
            missed[affected_nodes] = False
            if missed.any():
                raise CertificateError(
                    f"the ledger has no drift of node {int(np.argmax(missed))}, whose weights the departure has changed"
                )
            # A measured drift of 0, as for equal messages, does not make the two sums equal to the last bit.
            return np.where(weighs_otherwise & (moved == 0), np.finfo(float).tiny, moved)

        return instance
    if training.radius is None:
        raise CertificateError(
            "the worst-case bound for a departure `leave` needs a bound on the models: set learning.radius, which "
            "projects them onto a ball, or use the bound instance"
        )
    radius = training.radius
    return lambda t: radius * changed(training, t)


def changed(training: TrainingRun, round: int) -> Vector:
    """Return Σ_j |W_t − W'_t|_ij [N] for every node i that has not left, and 0 for departed nodes.

    Args:
        training: how the network learned, with the mixing matrices before a departure.
        round: t.
    """
    assert training.mixing_before is not None
    difference = abs(training.mixing_before.matrix(round) - training.mixing.matrix(round))
    return np.asarray(difference.sum(axis=1)).ravel() * training.present


def _measured(training: TrainingRun) -> Matrix:
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
    spread = np.zeros((training.rounds, training.local_steps, training.mixing.nodes))
    spread[:, :, nodes] = measured
    return spread
