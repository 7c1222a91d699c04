"""How far the deletion can have travelled: the coupled divergence of learning and retraining, node by node.

Learning on D and retraining on the retained data D' are coupled: same initial model, same mixing matrices, same coins.
e_i^t bounds ‖θ_i^t(D) − θ_i^t(D')‖₂. A round contracts or expands what is there by the local step (γ), mixes it along
the edges (W_t), and, as long as learning reads the forget set, adds a disturbance b at the deleting nodes. What a round
does to one step of one node is `sensitivity.local_steps`; what rounding adds is `sensitivity.rounding`.
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

#: A network of so many nodes is large.
_LARGE = 50_000

#: How far a row of a mixing matrix may be from summing to 1.
_ROW_SUM = 1e-9


@dataclass(frozen=True)
class Sensitivity:
    """e, node by node: `total` [N], and `rounding` [N], the part of it charged for finite precision.

    Of k requests at once, both are [N, k].
    """

    total: Vector
    rounding: Vector

    def column(self, request: int) -> "Sensitivity":
        """That of one of several requests."""
        return Sensitivity(self.total[:, request], self.rounding[:, request])


def propagate(
    training: TrainingRun,
    *,
    disturbed: int,
    quiet: int,
    bound: Bound = "worst-case",
    regime: Regime | None = None,
) -> Sensitivity:
    """Sensitivity after `disturbed` rounds that read the forget set and `quiet` rounds that do not.

    The recursion of each order (γ_E = γ^E, b_E = Σ_k γ^(E−1−k) b_k), from e⁰ = 0 and with b = 0 in quiet rounds:

        adapt-then-combine          e⁺ = W (γ_E e + b_E)
        combine-then-adapt          e⁺ = γ_E W e + b_E
        consensus-plus-gradient     e⁺ = (W − diag W) e + κ ∘ e + b_E

    Where clients project their parameters onto a ball, e is at most its diameter after every round. Nodes that the
    influence cannot have reached are computed identically on both sides and keep e = 0 exactly.

    Args:
        training: how the network learned and what was deleted.
        disturbed: s, rounds 0 … s−1 see the forget set.
        quiet: q, rounds s … s+q−1 run on retained data.
        bound: `worst-case` from the constants, `instance` from the ledger, `published` for the topology-blind
            formula of the R2D paper.
        regime: which curvature to assume; by default the strongest that the constants prove.

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
            f"learning has {training.rounds} rounds; {disturbed} disturbed and {quiet} quiet do not fit"
        )


def _columns(
    training: TrainingRun, deleted: NDArray[np.int64], disturbed: int, quiet: int, bound: Bound, regime: Regime
) -> Sensitivity:
    """The recursion, for each of k requests [N, k] a column."""
    recursion = Recursion(training, deleted, disturbed + quiet, bound, regime)
    state = recursion.go_on(recursion.start, range(disturbed), disturbed=True)
    return recursion.go_on(state, range(disturbed, disturbed + quiet), disturbed=False).sensitivity


class Recursion:
    """The recursion, for each of k requests a column, that can be gone on with from any of its states.

    Args:
        training: how the network learned.
        deleted: [N, k], the samples that each request deletes at each node.
        rounds: the most that there will be.
        bound: `worst-case`, or `instance` from the ledger.
        regime: which curvature to assume.
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
        """The state after these rounds, in which one side reads what is deleted (`disturbed`) or neither does."""
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
                # Two models in a ball are no further apart than it is wide; that rounding may leave it is charged.
                np.minimum(state.e[:, :k], self._widest, out=state.e[:, :k])
        return state


@dataclass(frozen=True)
class State:
    """e [N, 2k], first of the deletion and then of rounding, and what the deletion has reached [N, k]."""

    e: Matrix
    reached: NDArray[np.bool_]

    @property
    def sensitivity(self) -> Sensitivity:
        """What it comes to."""
        k = self.reached.shape[1]
        return Sensitivity(total=self.e[:, :k] + self.e[:, k:], rounding=self.e[:, k:])


def _advance(order: Order, state: State, W: csr_array, steps: Round, drifted: Vector | None, charge: float) -> State:
    """One round, of each order."""
    k, large = state.reached.shape[1], len(state.e) >= _LARGE
    # In a large network what rounding adds is bounded by the most that it adds anywhere, which needs no mixing.
    moved = state.e[:, :k] if large else state.e
    e = _moved(order, moved, W, steps, drifted, k)
    heard = _heard(order, state.reached, W, steps, drifted)
    if large:
        rounding = (state.e[:, k:].max(axis=0) * _most(order, W, steps) + charge) * heard
    else:
        e, rounding = e[:, :k], e[:, k:] + charge * heard
    # However small, what was reached is not untouched: an underflow must not read as certainty.
    if e.min(initial=0.0) <= 0:
        e[heard & (e == 0)] = np.finfo(float).tiny
    # Columns that lie one behind the other are mixed fastest.
    return State(np.vstack([e.T, rounding.T]).T if large else np.hstack([e, rounding]), heard)


def _moved(order: Order, e: Matrix, W: csr_array, steps: Round, drifted: Vector | None, k: int) -> Matrix:
    """e [N, k or 2k] after a round; the disturbances go to the first k columns."""
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
    """[N, k], what the deletion has reached after a round."""
    if reached.all():
        return reached
    # With adapt-then-combine the disturbance is mixed in the round that makes it; otherwise it stays put.
    sent = reached | steps.fresh if order == "adapt-then-combine" else reached
    heard = _mixed(W, sent.astype(float)) > 0
    if order != "adapt-then-combine":
        heard |= reached | steps.fresh
    if drifted is not None:
        heard |= (drifted > 0)[:, None]
    return heard


def _most(order: Order, W: csr_array, steps: Round) -> float:
    """By how much the largest of what is there already can grow in a round: rows of W sum to 1."""
    if order != "consensus-plus-gradient":
        return float(steps.growth.max())
    return float((held(steps, W) + 1 - W.diagonal()).max())


def _mixed(W: csr_array, e: Matrix) -> Matrix:
    """W·e; in a large network column by column, which keeps more of e in cache."""
    if len(e) < _LARGE:
        return np.asarray(W @ e)
    return np.stack([W @ column for column in e.T]).T


def _check_matrix(W: csr_array, nodes: int, round: int) -> None:
    """Everything here rests on rows of non-negative weights that sum to 1."""
    if W.shape != (nodes, nodes):
        raise CertificateError(f"the mixing matrix of round {round} has the shape {W.shape}, not {(nodes, nodes)}")
    if not np.all(np.isfinite(W.data)) or np.any(W.data < 0):
        raise CertificateError(f"the mixing matrix of round {round} has a weight that is negative or no number")
    worst = float(np.abs(np.asarray(W.sum(axis=1)) - 1).max())
    if worst > _ROW_SUM:
        raise CertificateError(f"a row of the mixing matrix of round {round} is {worst:.3g} away from summing to 1")


def _published(training: TrainingRun, disturbed: int, quiet: int) -> Sensitivity:
    """(2mG/(Ln))·((1 + ηLn/(n−m))^s − 1)·(1 + ηL)^q, the same at every node, with E local steps counted as rounds.

    Mu and Klabjan (2025), arXiv 2409.09778. For one machine this is their theorem. On a network it is the bound that
    knows no topology: W has rows that sum to 1, so the largest e_i obeys the one-machine recursion of the worst node.
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
    growth = local_growth(training, regime)
    advice = f"in the regime {regime} a local step may expand differences by {growth:.4g}"
    if regime in ("convex", "strongly-convex"):
        advice += f"; step_size up to 2/L = {2 / training.constants.L.value:.6g} keeps it at most 1"
    else:
        limit = 700 / (training.rounds * training.local_steps * training.constants.L.value)
        advice += f"; with {training.rounds} rounds keep step_size below about {limit:.3g}"
    return f"step_size {training.step_size:g} allows no finite certificate: {advice}"
