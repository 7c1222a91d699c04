"""What the local steps of one round do to the difference of two coupled runs: how it grows, and what is added to it.

A local step θ ↦ θ − η∇f(θ) has a Jacobian I − ηH. Where a step reads a minibatch of weight s = Σ 1/B over its samples,
H lies between s·lowest + l2 and s·highest + l2 of the data loss; s = 1 where it reads every sample.
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
    """The regime with the smallest growth that the constants prove."""
    return training.constants.regimes()[-1]


def local_growth(training: TrainingRun, regime: Regime) -> float:
    """γ, the Lipschitz constant of a local step θ ↦ θ − η∇f'(θ) with Hessians between the regime's curvature and L."""
    low, high = curvatures(training, regime, np.ones(1))
    return float(np.maximum(1 - training.step_size * low, training.step_size * high - 1)[0])


def curvatures(training: TrainingRun, regime: Regime, share: Vector) -> tuple[Vector, Vector]:
    """The ends of the Hessian's spectrum where samples of total weight `share`, of any shape, are read.

    What the constants say of an objective must hold for every sample's own loss where share is not 1. Of a client that
    retains nothing they say nothing: its objective is the l2 term alone, whatever curvature the data of others lend to
    theirs. Constants that are derived never have more curvature than that; declared ones may.
    """
    low, high = _with_samples(training, regime, share)
    if not _bare(training, training.deleted):
        return low, high
    l2 = training.constants.l2.value
    return np.minimum(low, l2), np.maximum(high, l2)


def _with_samples(training: TrainingRun, regime: Regime, share: Vector) -> tuple[Vector, Vector]:
    constants = training.constants
    l2, smooth = constants.l2.value, constants.L.value - constants.l2.value
    lowest, high = constants.lowest_curvature(regime), share * smooth + l2
    if regime == "nonconvex":
        return -high, high
    low = share * (constants.strong_convexity.value - l2) + l2
    # An objective that is convex thanks to its regulariser alone is not where a batch outweighs that.
    return (np.minimum(low, lowest) if regime == "convex" else low), high


def _bare(training: TrainingRun, deleted: NDArray[np.int64]) -> bool:
    """Whether someone who is there retains nothing, of any of the requests `deleted` [N] or [N, k]."""
    nothing = training.samples == deleted.T
    return bool(np.any(nothing & training.present))


def worst_case_disturbance(training: TrainingRun, round: int = 0) -> Matrix:
    """b [E, N] of each local step of a round: 2ηmG/n where m of n samples are deleted, ηG where all are, 0 elsewhere.

    Of a minibatch with m deleted samples, which is averaged over its expected size B whatever is deleted, ηmG/B.
    """
    eta, G, shape = training.step_size, training.constants.G.value, (training.local_steps, training.mixing.nodes)
    if training.batches is not None:
        return np.asarray(eta * G * training.batches.shares(round)[1])
    taken = training.already_deleted(round)
    return np.broadcast_to(eta * G * _deleted_share(training.samples - taken, training.deleted - taken), shape)


def _deleted_share(samples: NDArray[np.int64], deleted: NDArray[np.int64]) -> Vector:
    """By how many G the mean gradient of a node may change: 2m/n, or 1 where nothing is left. As `deleted` in shape."""
    n, m = np.broadcast_to(samples.reshape(-1, *[1] * (deleted.ndim - 1)), deleted.shape), deleted.astype(float)
    share = np.divide(2 * m, n, out=np.zeros_like(m), where=n > 0)
    return np.where((m == n) & (m > 0), 1.0, share)


def powers(base: float, E: int) -> Vector:
    """base^0 … base^E; what is too large for a float is infinite, not an error."""
    with np.errstate(over="ignore"):
        return np.asarray(np.float64(base) ** np.arange(E + 1))


@dataclass(frozen=True)
class Round:
    """What the E local steps of a round do.

    Attributes:
        growth: [N], the Lipschitz constant of all of them together.
        centre, spread: [N]; their Jacobian is centre·I + a rest of norm at most `spread`.
        disturbance: [N, k], b_E for each of k requests.
        fresh: [N, k], where it may be other than 0.
    """

    growth: Vector
    centre: Vector
    spread: Vector
    disturbance: Matrix
    fresh: NDArray[np.bool_]


class LocalSteps:
    """The local steps of every round, for k deletion requests at once.

    Args:
        training: how the network learned; its own request is that of column 0 unless `deleted` says otherwise.
        regime: which curvature to assume.
        bound: `worst-case`, or `instance` from the ledger.
        deleted: [N, k], the samples that each request deletes at each node.

    Raises:
        CertificateError: if there is no ledger, or one of another learning.
    """

    def __init__(self, training: TrainingRun, regime: Regime, bound: Bound, deleted: NDArray[np.int64]) -> None:
        self._learning, self._regime, self._deleted = training, regime, deleted
        self._stay = training.present[:, None]
        # The requests need not be the one that the learning knows of.
        self._empties = _bare(training, deleted)
        self._measured = _measured(training) if bound == "instance" else None
        self._whole = self._steps(np.ones((training.local_steps, 1)))
        share = _deleted_share(training.samples, deleted) * self._stay
        self._constant = training.step_size * training.constants.G.value * share

    def quiet(self, round: int) -> Round:
        """A round that reads retained data only, on both sides."""
        nothing = np.zeros(self._deleted.shape)
        return self._round(round, lambda after: nothing, nothing > 0)

    def disturbed(self, round: int) -> Round:
        """A round in which one side reads what is deleted."""
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
        """[N, 1], where a deleted sample is read in that round."""
        batches = self._learning.batches
        if batches is None:
            return np.asarray((self._deleted > self._learning.already_deleted(round)[:, None]) & self._stay)
        read = batches.shares(round)[1].sum(axis=0)[:, None]
        return np.asarray((read > 0) & self._stay)

    def _round(self, round: int, disturbance: Callable[[Matrix], Matrix], fresh: NDArray[np.bool_]) -> Round:
        batches, participating = self._learning.batches, self._learning.mixing.participating(round)
        growth, centre = self._whole if batches is None else self._steps(batches.shares(round)[0])
        # What a step added is grown by the steps after it.
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
        """(γ, p) [E, N] (or [E, 1]) of each step: its Jacobian is p·I + a·R with ‖R‖ ≤ 1 and |p| + a = γ."""
        eta, l2 = self._learning.step_size, self._learning.constants.l2.value
        low, high = curvatures(self._learning, self._regime, share)
        if self._empties:
            low, high = np.minimum(low, l2), np.maximum(high, l2)
        return np.maximum(1 - eta * low, eta * high - 1), 1 - eta * (high + low) / 2


def held(round: Round, W: csr_array) -> Vector:
    """κ [N], the Lipschitz constant of θ ↦ W_ii·θ + (D(θ) − θ), with D the E local steps.

    With Hessians between `lowest` and L a step's Jacobian is p·I + a·R with ‖R‖ ≤ 1, p = 1 − η(L + lowest)/2 and
    a = η(L − lowest)/2, so that |p| + a = γ. The product of E of them is p^E·I plus a rest of norm at most
    γ^E − |p|^E, hence κ_i = |p^E − (1 − W_ii)| + γ^E − |p|^E. For E = 1 this is ‖W_ii·I − ηH‖ exactly.
    """
    return np.asarray(np.abs(round.centre - (1 - W.diagonal())) + round.spread)


def mixing_drift(training: TrainingRun, bound: Bound) -> Callable[[int], Vector]:
    """[N], ‖Σ_j (W_t − W'_t)_ij·x_j‖ of a round: what has changed at every node since clients left.

    Worst case: the rows of W_t and W'_t both sum to 1, so Σ_j (W − W')_ij·x_j = Σ_j (W − W')_ij·(x_j − c) for any c,
    and messages in a ball of radius R make it at most R·Σ_j |W − W'|_ij.

    Raises:
        CertificateError: without a radius in the worst case, without measurements for an instance bound.
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
            # Where nothing was felt, as of messages that are all alike, other sums were taken all the same.
            return np.where(weighs_otherwise & (moved == 0), np.finfo(float).tiny, moved)

        return instance
    if training.radius is None:
        raise CertificateError(
            "the worst case of a departure `leave` needs a bound on the models: set learning.radius, which projects "
            "them onto a ball, or use the bound instance"
        )
    radius = training.radius
    return lambda t: radius * changed(training, t)


def changed(training: TrainingRun, round: int) -> Vector:
    """[N], Σ_j |W_t − W'_t|_ij at the nodes that have not left."""
    assert training.mixing_before is not None
    difference = abs(training.mixing_before.matrix(round) - training.mixing.matrix(round))
    return np.asarray(difference.sum(axis=1)).ravel() * training.present


def _measured(training: TrainingRun) -> Matrix:
    """[T, E, N], the measured disturbances."""
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
