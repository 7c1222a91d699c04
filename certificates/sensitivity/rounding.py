"""What finite precision may add to the difference of two coupled runs, bounded before anything is computed.

Standard error analysis (Higham 2002, "Accuracy and stability of numerical algorithms", §3.1): a sum of k terms, in any
order, is off by at most k·u times the sum of their absolute values, u being the unit roundoff.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.constants import Regime
from rewindnet.certificates.sensitivity.local_steps import curvatures, powers
from rewindnet.certificates.training import TrainingRun


def charges(training: TrainingRun, regime: Regime, rounds: int) -> Iterator[float]:
    """What rounding may add in each round at a node that the deletion has reached, in both coupled runs together.

    With ‖θ‖ ≤ M (bounded beforehand, so that nothing measured enters), n samples of total weight s, q inputs and C
    outputs, one local step is off by at most

        u·(η·((n + C + 10)·s·G + ((q + 4)·s·L + 4·l2)·M) + 4·M + 4η·(s·G + l2·M))

    where (q + 4)·L·M is the rounding of the scores carried through the gradient; a projection by (q·C + 8)·u·M more,
    and mixing k messages by (k + 6)·u·M.
    """
    arithmetic = training.arithmetic
    if arithmetic is None:
        yield from (0.0 for _ in range(rounds))
        return
    eta, E, u = training.step_size, training.local_steps, arithmetic.unit_roundoff
    projected = _of_projection(training)
    departed = 2 if training.mixing_before is not None else 0
    for M, share, heard in _rounds(training, rounds):
        step = _of_step(training, eta, share, M)
        mixing = (heard + 6 + projected) * M
        low, high = curvatures(training, regime, np.full(1, share))
        grown = powers(max(1.0, float(np.maximum(1 - eta * low, eta * high - 1)[0])), E)
        # The two runs err independently, hence twice. With combine-then-adapt the steps grow what mixing rounded. What
        # has changed since clients left is measured by one more sum of messages.
        yield u * (2 * step * float(grown[:-1].sum()) + (2 + departed) * mixing * float(grown[-1]))


def charges_of_hops(training: TrainingRun, step_size: float, hops: int) -> list[float]:
    """What rounding may add in each of some single local steps that follow learning, in both coupled runs together.

    Args:
        training: what is followed, by the model of one node.
        step_size: of the further steps, each by a mean of gradients of single samples.
        hops: how many there are.
    """
    if training.arithmetic is None:
        return [0.0] * hops
    G, l2 = training.constants.G.value, training.constants.l2.value
    M, charged = _largest_norm(training, training.rounds) * (1 + 1e-3), []
    for _ in range(hops):
        moved, shrunk = step_size * G * (1 + 1e-3), abs(1 - step_size * l2)
        within = max(1.0, shrunk) * M + moved
        charged.append(2 * training.arithmetic.unit_roundoff * _of_step(training, step_size, 1.0, within))
        M = shrunk * M + moved
    return charged


def _of_step(training: TrainingRun, eta: float, share: float, M: float) -> float:
    """The error of one local step from a model of norm at most M, in units of roundoff."""
    arithmetic, constants = training.arithmetic, training.constants
    assert arithmetic is not None
    G, L, l2 = constants.G.value, constants.L.value, constants.l2.value
    terms = (int(training.samples.max(initial=0)) + arithmetic.outputs + 10) * G
    step = eta * (terms * share + ((arithmetic.inputs + 4) * share * L + 4 * l2) * M)
    return step + (4 + _of_projection(training)) * M + 4 * eta * (share * G + l2 * M)


def _of_projection(training: TrainingRun) -> int:
    assert training.arithmetic is not None
    return 0 if training.radius is None else training.arithmetic.parameters + 8


def rounding_of_average(training: TrainingRun, round: int) -> float:
    """What summing the average of all nodes after so many rounds may add, in both coupled runs together."""
    if training.arithmetic is None:
        return 0.0
    return 2 * training.arithmetic.unit_roundoff * (training.mixing.nodes + 6) * _largest_norm(training, round)


def least_noise(training: TrainingRun, round: int) -> float:
    """The smallest σ whose draws the arithmetic still resolves beside parameters as large as they can be."""
    if training.arithmetic is None:
        return 0.0
    return 1024 * training.arithmetic.unit_roundoff * _largest_norm(training, round)


def _largest_norm(training: TrainingRun, rounds: int) -> float:
    assert training.arithmetic is not None
    return max([training.arithmetic.initial_norm, *(M for M, _, _ in _rounds(training, rounds))])


def _rounds(training: TrainingRun, rounds: int) -> Iterator[tuple[float, float, int]]:
    """For each round, bounds on every ‖θ_i‖ that occurs in it, on the weight of a batch, and on the messages heard.

    Gradients are at most s·G + l2·‖θ‖.
    """
    assert training.arithmetic is not None
    eta, E, l2, G = training.step_size, training.local_steps, training.constants.l2.value, training.constants.G.value
    signed = float(powers(1 - eta * l2, E)[-1])
    shrunk, moved = abs(signed), eta * G * float(powers(abs(1 - eta * l2), E)[:-1].sum())
    M, seen = training.arithmetic.initial_norm, _Seen(training)
    for t in range(rounds):
        share = _largest_share(training, t)
        heard, least, most = seen.at(t)
        yield (max(1.0, shrunk) * M + moved * share) * (1 + 1e-3), share, heard  # rounding adds far less to a norm
        if training.order == "consensus-plus-gradient":
            stepped = max((1 - kept) + abs(kept + signed - 1) for kept in (least, most)) * M + moved * share
        else:
            stepped = shrunk * M + moved * share
        # Who sleeps does not shrink.
        M = stepped if training.mixing.participating(t) is None else max(M, stepped)
        if training.radius is not None:
            M = min(M, training.radius * (1 + 1e-3))


def _largest_share(training: TrainingRun, round: int) -> float:
    """The largest weight of a batch, of whatever is read on either side."""
    if training.batches is None:
        return 1.0
    retained, deleted = training.batches.shares(round)
    return max(1.0, float((retained + deleted).max(initial=0.0)))


class _Seen:
    """Of every round, the most messages that a node hears and the least and the largest weight it keeps for itself."""

    def __init__(self, training: TrainingRun) -> None:
        self._mixings = [mixing for mixing in (training.mixing, training.mixing_before) if mixing is not None]
        self._diagonal = training.order == "consensus-plus-gradient"
        self._known: dict[int, tuple[csr_array, tuple[int, float, float]]] = {}

    def at(self, round: int) -> tuple[int, float, float]:
        found = [self._of(at, mixing.matrix(round)) for at, mixing in enumerate(self._mixings)]
        heard, least, most = zip(*found, strict=True)
        return max(heard), min(least), max(most)

    def _of(self, at: int, W: csr_array) -> tuple[int, float, float]:
        # A network that stays as it is gives the same matrix every time.
        if at not in self._known or self._known[at][0] is not W:
            kept = W.diagonal() if self._diagonal else np.zeros(1)
            self._known[at] = W, (int(np.diff(W.indptr).max()), float(kept.min()), float(kept.max()))
        return self._known[at][1]
