"""The sensitivity recursion: a bound on the divergence of learning and retraining at every node.

Learning on D and retraining on the retained data D' are coupled: they share the initial model, the mixing matrices and
the random draws. e_i^t bounds ‖θ_i^t(D) − θ_i^t(D')‖₂. In a round, e is multiplied by the growth γ of the local steps
and mixed along the edges by W_t; as long as learning uses the forget set, a disturbance b is added at the deleting
nodes. The effect of the local steps is computed in `sensitivity.local_steps`, the charge for rounding in
`sensitivity.rounding`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.claim import Bound
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Order, Vector
from rewindnet.certificates.sensitivity.departure import mixing_drift
from rewindnet.certificates.sensitivity.local_steps import LocalSteps, RoundEffect, consensus_growth
from rewindnet.certificates.sensitivity.rounding import charges
from rewindnet.certificates.training import TrainingRun

Matrix = NDArray[np.float64]

#: From this number of nodes on, the recursion uses cheaper bounds on rounding and mixes column by column.
_LARGE = 50_000

#: The tolerance within which the rows of a mixing matrix sum to 1.
_ROW_SUM = 1e-9


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivity e of every node.

    Attributes:
        total: [N], e including rounding; [N, k] for k requests at once.
        rounding: [N] or [N, k], the part of `total` that is charged for finite precision.
    """

    total: Vector
    rounding: Vector

    def column(self, request: int) -> "Sensitivity":
        """Return the sensitivity of one of several requests.

        Args:
            request: the index of the request.
        """
        return Sensitivity(self.total[:, request], self.rounding[:, request])


class Recursion:
    """The sensitivity recursion for k requests at once, which can be continued from any of its states.

    Attributes:
        start: the state before the first round.

    Args:
        training: how the network learned.
        deleted: [N, k], the number of samples that each request deletes at each node.
        rounds: the largest number of rounds.
        bound: `worst-case`, or `instance` from the ledger.
        regime: the curvature to assume.
    """

    def __init__(
        self, training: TrainingRun, deleted: NDArray[np.int64], rounds: int, bound: Bound, regime: Regime
    ) -> None:
        self._training = training
        self._steps_of = cache(
            lambda step_size: LocalSteps(replace(training, step_size=step_size, step_sizes=()), regime, bound, deleted)
        )
        self._steps_of(training.step_size_at(0))  # refuses what has no bound before any round is computed
        self._bound: Bound = bound
        self._drift: Callable[[int], Vector] | None = None
        self._diameter = np.inf if training.radius is None else 2 * training.radius
        self._charges = list(charges(training, regime, rounds, bound))
        self._checked_matrix: csr_array | None = None
        e = np.zeros((2 * deleted.shape[1], len(deleted))).T
        self.start = RecursionState(e, np.zeros(deleted.shape, dtype=bool))

    def advance(self, state: "RecursionState", rounds: range, disturbed: bool) -> "RecursionState":
        """Return the state after further rounds.

        Args:
            state: the state before these rounds.
            rounds: the rounds.
            disturbed: whether one of the runs uses the deleted samples in these rounds.
        """
        training, k = self._training, state.reached.shape[1]
        if disturbed and len(rounds) and training.mixing_before is not None and self._drift is None:
            self._drift = mixing_drift(training, self._bound)
        for t in rounds:
            W = training.mixing.matrix(t)
            if W is not self._checked_matrix:
                _check_matrix(W, training.mixing.nodes, t)
                self._checked_matrix = W
            steps = self._steps_of(training.step_size_at(t))
            effect = steps.disturbed(t) if disturbed else steps.undisturbed(t)
            drift = self._drift(t) if disturbed and self._drift is not None else None
            state = _next_state(training.order, state, W, effect, drift, self._charges[t])
            if training.radius is not None:
                # Two models in a ball differ by at most its diameter; rounding that leaves the ball is charged apart.
                np.minimum(state.e[:, :k], self._diameter, out=state.e[:, :k])
        return state

    def begun_from_checkpoint(self, state: "RecursionState", round: int) -> "RecursionState":
        """Return the state with what is charged where a release begins from the checkpoint after a round.

        Args:
            state: the state after that round.
            round: the number of rounds before the checkpoint.
        """
        error, k = self._training.error_of_checkpoint(round), state.reached.shape[1]
        if not error:
            return state
        present, e = self._training.present[:, None], state.e.copy(order="K")
        e[:, :k] += error * present
        return RecursionState(e, state.reached | present)


@dataclass(frozen=True)
class RecursionState:
    """A state of the recursion.

    Attributes:
        e: [N, 2k], for each request the bound without rounding (first k columns) and the charge for rounding (last k).
        reached: [N, k], a mask of the nodes that the influence of the deletion can have reached.
    """

    e: Matrix
    reached: NDArray[np.bool_]

    @property
    def sensitivity(self) -> Sensitivity:
        """The sensitivity in this state."""
        k = self.reached.shape[1]
        return Sensitivity(total=self.e[:, :k] + self.e[:, k:], rounding=self.e[:, k:])


def _next_state(
    order: Order, state: RecursionState, W: csr_array, effect: RoundEffect, drift: Vector | None, charge: float
) -> RecursionState:
    """Return the state after one round."""
    k, large = state.reached.shape[1], len(state.e) >= _LARGE
    # In a large network the charge for rounding is bounded by its maximum over the nodes, which needs no mixing.
    bound = state.e[:, :k] if large else state.e
    e = _next_bound(order, bound, W, effect, drift, k)
    reached = _next_reached(order, state.reached, W, effect, drift)
    if large:
        rounding = (state.e[:, k:].max(axis=0) * _largest_growth(order, W, effect) + charge) * reached
    else:
        e, rounding = e[:, :k], e[:, k:] + charge * reached
    # e = 0 certifies that a node was not reached, so an underflow to 0 at a node that was reached is replaced.
    if e.min(initial=0.0) <= 0:
        e[reached & (e == 0)] = np.finfo(float).tiny
    # Column-major order makes the sparse product of a large network fastest.
    return RecursionState(np.vstack([e.T, rounding.T]).T if large else np.hstack([e, rounding]), reached)


def _next_bound(order: Order, e: Matrix, W: csr_array, effect: RoundEffect, drift: Vector | None, k: int) -> Matrix:
    """Return e [N, k or 2k] after a round; the disturbances are added to the first k columns."""
    growth, b = effect.growth[:, None], effect.disturbance
    if order == "adapt-then-combine":
        e = growth * e
        e[:, :k] += b
        e = _mix(W, e)
    elif order == "combine-then-adapt":
        e = _mix(W, e)
    else:
        e = _mix(W, e) + (consensus_growth(effect, W) - W.diagonal())[:, None] * e
    if drift is not None:
        e[:, :k] += drift[:, None]
    if order == "combine-then-adapt":
        e = growth * e
    if order != "adapt-then-combine":
        e[:, :k] += b
    return e


def _next_reached(
    order: Order, reached: NDArray[np.bool_], W: csr_array, effect: RoundEffect, drift: Vector | None
) -> NDArray[np.bool_]:
    """Return the mask [N, k] of the nodes that the influence of the deletion can have reached after a round."""
    if reached.all():
        return reached
    # With adapt-then-combine the disturbance is mixed in its own round; in the other orders it is added after mixing.
    sent = reached | effect.disturbed if order == "adapt-then-combine" else reached
    receiving = _mix(W, sent.astype(float)) > 0
    if order != "adapt-then-combine":
        receiving |= reached | effect.disturbed
    if drift is not None:
        receiving |= (drift > 0)[:, None]
    return receiving


def _largest_growth(order: Order, W: csr_array, effect: RoundEffect) -> float:
    """Return the growth in a round of the largest entry of e, for rows of W that sum to 1."""
    if order != "consensus-plus-gradient":
        return float(effect.growth.max())
    return float((consensus_growth(effect, W) + 1 - W.diagonal()).max())


def _mix(W: csr_array, e: Matrix) -> Matrix:
    """Return W·e; for a large network column by column, which keeps more of e in the cache."""
    if len(e) < _LARGE:
        return np.asarray(W @ e)
    columns = [W @ column for column in e.T]
    return columns[0][:, None] if len(columns) == 1 else np.stack(columns).T


def _check_matrix(W: csr_array, nodes: int, round: int) -> None:
    """Refuse a matrix that is not non-negative with rows that sum to 1, on which the recursion depends."""
    if W.shape != (nodes, nodes):
        raise CertificateError(f"the mixing matrix of round {round} has the shape {W.shape}, not {(nodes, nodes)}")
    if not np.all(np.isfinite(W.data)) or np.any(W.data < 0):
        raise CertificateError(f"the mixing matrix of round {round} has a weight that is negative or no number")
    worst = float(np.abs(np.asarray(W.sum(axis=1)) - 1).max())
    if worst > _ROW_SUM:
        raise CertificateError(f"a row of the mixing matrix of round {round} is {worst:.3g} away from summing to 1")
