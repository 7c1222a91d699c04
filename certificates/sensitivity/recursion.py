"""The sensitivity recursion: a bound on the divergence of learning and retraining at every node.

Learning on D and retraining on the retained data D' are coupled: they share the initial model, the mixing matrices and
the random draws. e_i^t bounds ‖θ_i^t(D) − θ_i^t(D')‖₂. In a round, e is multiplied by the growth γ of the local steps
and mixed along the edges by W_t; as long as learning uses the forget set, a disturbance b is added at the deleting
nodes. The effect of the local steps is computed in `sensitivity.local_steps`, the charge for rounding in
`sensitivity.rounding`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.claim import Bound
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.sensitivity.local_steps import (
    LocalSteps,
    Round,
    held,
    local_growth,
    mixing_drift,
    strongest_regime,
)
from rewindnet.certificates.sensitivity.rounding import charges
from rewindnet.certificates.training import Order, TrainingRun, Vector

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


def propagate(
    training: TrainingRun,
    *,
    disturbed: int,
    quiet: int,
    bound: Bound = "worst-case",
    regime: Regime | None = None,
) -> Sensitivity:
    """Return the sensitivity after `disturbed` rounds that use the forget set and `quiet` rounds that do not.

    With γ_E = γ^E and b_E = Σ_k γ^(E−1−k) b_k, the recursion from e⁰ = 0 is, for each order (b = 0 in quiet rounds):

        adapt-then-combine          e⁺ = W (γ_E e + b_E)
        combine-then-adapt          e⁺ = γ_E W e + b_E
        consensus-plus-gradient     e⁺ = (W − diag W) e + κ ∘ e + b_E

    Where clients project their parameters onto a ball, e is at most the ball's diameter after every round. Nodes that
    the influence of the deletion cannot have reached are computed identically in both runs and keep e = 0 exactly.

    Args:
        training: how the network learned and what was deleted.
        disturbed: s; rounds 0 … s−1 use the forget set.
        quiet: q; rounds s … s+q−1 use retained data only.
        bound: `worst-case` from the constants, `instance` from the ledger, `published` for the formula of the R2D
            paper, which ignores the topology.
        regime: the curvature to assume; by default the strongest that the constants prove.

    Raises:
        CertificateError: if the rounds lie outside learning, the regime is not proven, or the result is not finite.
    """
    regime = regime or strongest_regime(training)
    _check_rounds(training, disturbed, quiet)
    with np.errstate(over="ignore", invalid="ignore"):
        if bound == "published":
            result = _published(training, disturbed, quiet)
        else:
            result = _columns(training, training.deleted[:, None], disturbed, quiet, bound, regime).column(0)
    if not np.all(np.isfinite(result.total)):
        raise CertificateError(_too_large(training, regime))
    return result


def _check_rounds(training: TrainingRun, disturbed: int, quiet: int) -> None:
    if not 0 <= disturbed <= training.rounds or quiet < 0:
        raise CertificateError(
            f"learning has {training.rounds} rounds; {disturbed} rounds with the forget set and {quiet} without it do "
            "not fit"
        )


def _columns(
    training: TrainingRun, deleted: NDArray[np.int64], disturbed: int, quiet: int, bound: Bound, regime: Regime
) -> Sensitivity:
    """Return the sensitivity for each of k requests [N, k]."""
    recursion = Recursion(training, deleted, disturbed + quiet, bound, regime)
    state = recursion.go_on(recursion.start, range(disturbed), disturbed=True)
    return recursion.go_on(state, range(disturbed, disturbed + quiet), disturbed=False).sensitivity


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
        self._learning = training
        self._steps = LocalSteps(training, regime, bound, deleted)
        self._bound: Bound = bound
        self._drifted: Callable[[int], Vector] | None = None
        self._widest = np.inf if training.radius is None else 2 * training.radius
        self._charges = list(charges(training, regime, rounds))
        self._checked: csr_array | None = None
        self.start = State(np.zeros((2 * deleted.shape[1], len(deleted))).T, np.zeros(deleted.shape, dtype=bool))

    def go_on(self, state: "State", rounds: range, disturbed: bool) -> "State":
        """Return the state after further rounds.

        Args:
            state: the state before these rounds.
            rounds: the rounds.
            disturbed: whether one of the runs uses the deleted samples in these rounds.
        """
        training, k = self._learning, state.reached.shape[1]
        if disturbed and len(rounds) and training.mixing_before is not None and self._drifted is None:
            self._drifted = mixing_drift(training, self._bound)
        for t in rounds:
            W = training.mixing.matrix(t)
            if W is not self._checked:
                _check_matrix(W, training.mixing.nodes, t)
                self._checked = W
            steps = self._steps.disturbed(t) if disturbed else self._steps.quiet(t)
            moved = self._drifted(t) if disturbed and self._drifted is not None else None
            state = _advance(training.order, state, W, steps, moved, self._charges[t])
            if training.radius is not None:
                # Two models in a ball differ by at most its diameter; rounding that leaves the ball is charged apart.
                np.minimum(state.e[:, :k], self._widest, out=state.e[:, :k])
        return state


@dataclass(frozen=True)
class State:
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


def _advance(order: Order, state: State, W: csr_array, steps: Round, drifted: Vector | None, charge: float) -> State:
    """Return the state after one round."""
    k, large = state.reached.shape[1], len(state.e) >= _LARGE
    # In a large network the charge for rounding is bounded by its maximum over the nodes, which needs no mixing.
    moved = state.e[:, :k] if large else state.e
    e = _moved(order, moved, W, steps, drifted, k)
    heard = _heard(order, state.reached, W, steps, drifted)
    if large:
        rounding = (state.e[:, k:].max(axis=0) * _most(order, W, steps) + charge) * heard
    else:
        e, rounding = e[:, :k], e[:, k:] + charge * heard
    # e = 0 certifies that a node was not reached, so an underflow to 0 at a node that was reached is replaced.
    if e.min(initial=0.0) <= 0:
        e[heard & (e == 0)] = np.finfo(float).tiny
    # Column-major order makes the sparse product of a large network fastest.
    return State(np.vstack([e.T, rounding.T]).T if large else np.hstack([e, rounding]), heard)


def _moved(order: Order, e: Matrix, W: csr_array, steps: Round, drifted: Vector | None, k: int) -> Matrix:
    """Return e [N, k or 2k] after a round; the disturbances are added to the first k columns."""
    grown, b = steps.growth[:, None], steps.disturbance
    if order == "adapt-then-combine":
        e = grown * e
        e[:, :k] += b
        e = _mixed(W, e)
    elif order == "combine-then-adapt":
        e = _mixed(W, e)
    else:
        e = _mixed(W, e) + (held(steps, W) - W.diagonal())[:, None] * e
    if drifted is not None:
        e[:, :k] += drifted[:, None]
    if order == "combine-then-adapt":
        e = grown * e
    if order != "adapt-then-combine":
        e[:, :k] += b
    return e


def _heard(
    order: Order, reached: NDArray[np.bool_], W: csr_array, steps: Round, drifted: Vector | None
) -> NDArray[np.bool_]:
    """Return the mask [N, k] of the nodes that the influence of the deletion can have reached after a round."""
    if reached.all():
        return reached
    # With adapt-then-combine the disturbance is mixed in its own round; in the other orders it is added after mixing.
    sent = reached | steps.fresh if order == "adapt-then-combine" else reached
    heard = _mixed(W, sent.astype(float)) > 0
    if order != "adapt-then-combine":
        heard |= reached | steps.fresh
    if drifted is not None:
        heard |= (drifted > 0)[:, None]
    return heard


def _most(order: Order, W: csr_array, steps: Round) -> float:
    """Return the growth in a round of the largest entry of e, for rows of W that sum to 1."""
    if order != "consensus-plus-gradient":
        return float(steps.growth.max())
    return float((held(steps, W) + 1 - W.diagonal()).max())


def _mixed(W: csr_array, e: Matrix) -> Matrix:
    """Return W·e; for a large network column by column, which keeps more of e in the cache."""
    if len(e) < _LARGE:
        return np.asarray(W @ e)
    return np.stack([W @ column for column in e.T]).T


def _check_matrix(W: csr_array, nodes: int, round: int) -> None:
    """Refuse a matrix that is not non-negative with rows that sum to 1, on which the recursion depends."""
    if W.shape != (nodes, nodes):
        raise CertificateError(f"the mixing matrix of round {round} has the shape {W.shape}, not {(nodes, nodes)}")
    if not np.all(np.isfinite(W.data)) or np.any(W.data < 0):
        raise CertificateError(f"the mixing matrix of round {round} has a weight that is negative or no number")
    worst = float(np.abs(np.asarray(W.sum(axis=1)) - 1).max())
    if worst > _ROW_SUM:
        raise CertificateError(f"a row of the mixing matrix of round {round} is {worst:.3g} away from summing to 1")


def _published(training: TrainingRun, disturbed: int, quiet: int) -> Sensitivity:
    """Return (2mG/(Ln))·((1 + ηLn/(n−m))^s − 1)·(1 + ηL)^q at every node, counting local steps as rounds.

    Mu and Klabjan (2025), arXiv 2409.09778. For one machine this is their theorem. On a network it is a bound that
    ignores the topology: the rows of W sum to 1, so the largest e_i obeys the one-machine recursion of the worst node.
    """
    if training.batches is not None or training.departed or training.earlier_deletions:
        raise CertificateError(
            "the published bound is for full gradients, clients that stay and a first request; use worst-case"
        )
    eta, G, L = training.step_size, training.constants.G.value, training.constants.L.value
    worst = 0.0
    for n, m in zip(training.samples.tolist(), training.deleted.tolist(), strict=True):
        if m == 0 or disturbed == 0:
            continue
        if m == n:
            raise CertificateError(
                "the published bound does not cover a client that deletes everything; use worst-case"
            )
        limit = min(1 / L, n / (2 * (n - m) * L))
        if eta > limit:
            raise CertificateError(
                f"step_size {eta:g} is beyond what the published bound allows: "
                f"at most min(1/L, n/(2(n−m)L)) = {limit:.6g}"
            )
        s, q = disturbed * training.local_steps, quiet * training.local_steps
        growth = np.expm1(s * np.log1p(eta * L * n / (n - m))) * np.exp(q * np.log1p(eta * L))
        worst = max(worst, float(2 * m * G / (L * n) * growth))
    charged = _columns(training, training.deleted[:, None], disturbed, quiet, "worst-case", "nonconvex").rounding[:, 0]
    rounding = np.full_like(charged, charged.max(initial=0.0))
    return Sensitivity(total=np.full(training.mixing.nodes, worst) + rounding, rounding=rounding)


def _too_large(training: TrainingRun, regime: Regime) -> str:
    """Return the error message for a sensitivity that is not finite."""
    growth = local_growth(training, regime)
    advice = f"in the regime {regime} a local step may expand differences by {growth:.4g}"
    if regime in ("convex", "strongly-convex"):
        advice += f"; step_size up to 2/L = {2 / training.constants.L.value:.6g} keeps it at most 1"
    else:
        limit = 700 / (training.rounds * training.local_steps * training.constants.L.value)
        advice += f"; with {training.rounds} rounds keep step_size below about {limit:.3g}"
    return f"step_size {training.step_size:g} allows no finite certificate: {advice}"
