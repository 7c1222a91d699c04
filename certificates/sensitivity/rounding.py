"""Bounds on what finite precision can add to the divergence of two coupled runs, computed without running them.

By standard error analysis (Higham 2002, "Accuracy and stability of numerical algorithms", §3.1), the error of a sum of
k terms, in any order, is at most k·u times the sum of their absolute values, with u the unit roundoff.
"""

from collections.abc import Iterator
from math import inf, sqrt

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.claim import Bound
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.sensitivity.local_steps import curvatures, powers
from rewindnet.certificates.training import TrainingRun

#: The smallest σ in units of the rounding error of the largest possible parameter.
RESOLUTION = 1024

#: −log of the probability with which the noise of an earlier release may be longer than its bound: e⁻⁶⁰⁰ < 10⁻²⁶⁰.
_TAIL = 600.0


def charges(training: TrainingRun, regime: Regime, rounds: int, bound: Bound) -> Iterator[float]:
    """Yield what inexact computation may add to the divergence in each round, at a node that the deletion has reached.

    It is what rounding adds, and what the tolerance of clipped gradients does. Where each of the two runs computes its
    gradients up to τ₀, a local step adds 2ητ₀. A measured disturbance is the difference of two more such gradients.

    Args:
        training: how the network learned.
        regime: the curvature to assume.
        rounds: the number of rounds.
        bound: of the disturbances.
    """
    tolerated = 0.0
    if training.client_clip is not None:
        low, high = curvatures(training, regime, np.ones(1))
        growth = powers(max(1.0, float(np.maximum(1 - training.step_size * low, training.step_size * high - 1)[0])),
                        training.local_steps)  # fmt: skip
        error = training.client_clip * training.clip_tolerance * training.step_size * float(growth[:-1].sum())
        tolerated = (4 if bound == "instance" else 2) * error
    for rounding in _rounding_charges(training, regime, rounds):
        yield rounding + tolerated


def _rounding_charges(training: TrainingRun, regime: Regime, rounds: int) -> Iterator[float]:
    """Yield what rounding may add to the divergence in each round, at a node that the deletion has reached.

    The charge covers both coupled runs together. Let M be a bound on ‖θ‖ (computed beforehand, so that no measurement
    enters), n the number of samples, s their total weight, q the number of inputs, C the number of outputs and d the
    number of parameters. The error of one local step is at most

        u·(η·((n + C + 10)·s·G + ((q + 4)·s·L + 4·l2)·M) + 4·M + 4η·(s·G + l2·M)),

    where (q + 4)·s·L·M is the rounding of the scores, carried through the gradient. A projection adds at most
    (d + 8)·u·M, and mixing k messages at most (k + 6)·u·M.

    Args:
        training: how the network learned.
        regime: the curvature to assume.
        rounds: the number of rounds.
    """
    arithmetic = training.arithmetic
    if arithmetic is None:
        yield from (0.0 for _ in range(rounds))
        return
    E, u = training.local_steps, arithmetic.unit_roundoff
    projected = _projection_error(training)
    drift_sums = 2 if training.mixing_before is not None else 0
    for t, (M, share, messages) in enumerate(_round_bounds(training, rounds)):
        eta = training.step_size_at(t)
        step = _step_error(training, eta, share, M)
        mixing = (messages + 6 + projected) * M
        low, high = curvatures(training, regime, np.full(1, share))
        growth = powers(max(1.0, float(np.maximum(1 - eta * low, eta * high - 1)[0])), E)
        # The errors of the two runs are independent, hence the factor 2. With combine-then-adapt the local steps
        # multiply the rounding of the mixing. The drift after a departure is measured by one more sum of messages.
        charge = u * (2 * step * float(growth[:-1].sum()) + (2 + drift_sums) * mixing * float(growth[-1]))
        # In both runs the noise of an earlier release is one vector; adding it rounds once in each.
        yield charge + (4 * u * M if _earlier_noise(training, t + 1) else 0.0)


def charges_of_hops(training: TrainingRun, step_size: float, hops: int) -> list[float]:
    """Return what rounding may add in each of several single local steps that follow learning, in both runs together.

    Args:
        training: how the network learned, before the model of one node takes these steps.
        step_size: the step size of the steps, each by a mean of gradients of single samples.
        hops: the number of steps.
    """
    if training.arithmetic is None:
        return [0.0] * hops
    G, l2 = training.constants.G.value, training.constants.l2.value
    M, result = largest_norm(training, training.rounds) * (1 + 1e-3), []
    for _ in range(hops):
        step, retention = step_size * G * (1 + 1e-3), abs(1 - step_size * l2)
        norm = max(1.0, retention) * M + step
        result.append(2 * training.arithmetic.unit_roundoff * _step_error(training, step_size, 1.0, norm))
        M = retention * M + step
    return result


def _step_error(training: TrainingRun, eta: float, share: float, M: float) -> float:
    """Return the error of one local step from a model of norm at most M, in units of the roundoff."""
    arithmetic, constants = training.arithmetic, training.constants
    assert arithmetic is not None
    G, L, l2 = constants.G.value, constants.L.value, constants.l2.value
    terms = (int(training.samples.max(initial=0)) + arithmetic.outputs + 10) * G
    step = eta * (terms * share + ((arithmetic.inputs + 4) * share * L + 4 * l2) * M)
    return step + (4 + _projection_error(training)) * M + 4 * eta * (share * G + l2 * M)


def _projection_error(training: TrainingRun) -> int:
    """Return the error of a projection of a model of norm 1, in units of the roundoff; 0 without a projection."""
    assert training.arithmetic is not None
    return 0 if training.radius is None else training.arithmetic.parameters + 8


def rounding_of_average(training: TrainingRun, round: int) -> float:
    """Return what rounding may add when all nodes' models are averaged, in both coupled runs together.

    Args:
        training: how the network learned.
        round: the number of rounds before the average.
    """
    if training.arithmetic is None:
        return 0.0
    return 2 * training.arithmetic.unit_roundoff * (training.mixing.nodes + 6) * largest_norm(training, round)


def least_noise(training: TrainingRun, round: int) -> float:
    """Return the smallest σ whose noise is still resolved by the arithmetic, next to the largest possible parameters.

    Args:
        training: how the network learned.
        round: the number of rounds before the noise.
    """
    if training.arithmetic is None:
        return 0.0
    return RESOLUTION * training.arithmetic.unit_roundoff * largest_norm(training, round)


def largest_norm(training: TrainingRun, rounds: int) -> float:
    """Return a bound on ‖θ_i‖ over all nodes and the given number of rounds; infinite where θ⁰ is not known."""
    if training.arithmetic is None:
        return inf
    start = training.arithmetic.initial_norm + _earlier_noise(training, 0)
    return max([start, *(M for M, _, _ in _round_bounds(training, rounds))])


def norm_before(training: TrainingRun, round: int) -> float:
    """Return a bound on ‖θ_i‖ of every node before a round, apart from the error of a checkpoint; infinite if unknown.

    Args:
        training: how the network learned.
        round: t, at most T.
    """
    if training.arithmetic is None:
        return inf
    return [before for before, *_ in _norms(training, round + 1)][round]


def _round_bounds(training: TrainingRun, rounds: int) -> Iterator[tuple[float, float, int]]:
    """Yield bounds on every ‖θ_i‖, on the weight of a batch and on the number of messages received, for each round.

    The bound on ‖θ_i‖ includes the noise of earlier releases that is added after the round, and the error of models
    of a checkpoint before it, which were recovered or rounded; no round increases that.
    """
    for _, largest, share, messages in _norms(training, rounds):
        yield largest + training.recovery_error + training.storage_error, share, messages


def _norms(training: TrainingRun, rounds: int) -> Iterator[tuple[float, float, float, int]]:
    """Yield bounds on every ‖θ_i‖ before and in each round, on the weight of a batch and on the number of messages.

    Gradients have norm at most s·G + l2·‖θ‖, with s the weight of the batch.
    """
    assert training.arithmetic is not None
    E, l2, G = training.local_steps, training.constants.l2.value, training.constants.G.value
    M, mixing_range = training.arithmetic.initial_norm + _earlier_noise(training, 0), _MixingRange(training)
    for t in range(rounds):
        eta = training.step_size_at(t)
        retention = float(powers(1 - eta * l2, E)[-1])
        shrinkage, step = abs(retention), eta * G * float(powers(abs(1 - eta * l2), E)[:-1].sum())
        share = _largest_share(training, t)
        messages, smallest, largest = mixing_range.of_round(t)
        # Rounding adds far less than this factor to a norm.
        noise = _earlier_noise(training, t + 1)
        yield M, (max(1.0, shrinkage) * M + step * share) * (1 + 1e-3) + noise, share, messages
        if training.order == "consensus-plus-gradient":
            factor = max((1 - diagonal) + abs(diagonal + retention - 1) for diagonal in (smallest, largest))
        else:
            factor = shrinkage
        next_norm = factor * M + step * share
        if training.radius is not None:
            next_norm = min(next_norm, training.radius * (1 + 1e-3))
        # The model of a node that does not participate keeps its norm, which noise may have brought out of the ball.
        M = (next_norm if training.mixing.participating(t) is None else max(M, next_norm)) + noise


def _earlier_noise(training: TrainingRun, round: int) -> float:
    """Return a bound on the norm of the noise that earlier releases add after so many rounds; 0 where they add none.

    Z ~ N(0, I_d) has ‖Z‖ ≤ √d + √(2x) except with probability e^(−x), as ‖·‖ is 1-Lipschitz and E‖Z‖ ≤ √d.
    """
    assert training.arithmetic is not None
    sigma: float = sum(earlier.sigma for earlier in training.earlier_releases if earlier.noise_round == round)
    return sigma * (sqrt(training.arithmetic.parameters) + sqrt(2 * _TAIL))


def _largest_share(training: TrainingRun, round: int) -> float:
    """Return the largest weight of a minibatch in either of the two runs."""
    if training.batches is None:
        return 1.0
    retained, deleted = training.batches.shares(round)
    return max(1.0, float((retained + deleted).max(initial=0.0)))


class _MixingRange:
    """The largest number of messages that a node receives in a round, and the range of the diagonal of W."""

    def __init__(self, training: TrainingRun) -> None:
        self._mixings = [mixing for mixing in (training.mixing, training.mixing_before) if mixing is not None]
        self._diagonal = training.order == "consensus-plus-gradient"
        self._known: dict[int, tuple[csr_array, tuple[int, float, float]]] = {}

    def of_round(self, round: int) -> tuple[int, float, float]:
        """Return the number of messages, the smallest and the largest diagonal entry over all mixing matrices."""
        ranges = [self._of_matrix(index, mixing.matrix(round)) for index, mixing in enumerate(self._mixings)]
        messages, smallest, largest = zip(*ranges, strict=True)
        return max(messages), min(smallest), max(largest)

    def _of_matrix(self, index: int, W: csr_array) -> tuple[int, float, float]:
        """Return the same for one matrix, which is the last one of the mixing with that index."""
        # A static schedule returns the same matrix object in every round.
        if index not in self._known or self._known[index][0] is not W:
            diagonal = W.diagonal() if self._diagonal else np.zeros(1)
            messages = int(np.diff(W.indptr).max())
            self._known[index] = W, (messages, float(diagonal.min()), float(diagonal.max()))
        return self._known[index][1]
