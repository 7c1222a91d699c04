"""The effect of a departure on the sensitivity: the drift between the mixing matrices before and after it.

W_t are the mixing matrices of learning, W'_t those of the network without the departed nodes, and x the messages of
learning. The drift of node i in a round is ‖Σ_j (W_t − W'_t)_ij·x_j‖.
"""

from collections.abc import Callable

import numpy as np

from rewindnet.certificates.claim import Bound
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector
from rewindnet.certificates.training import TrainingRun


def mixing_drift(training: TrainingRun, bound: Bound) -> Callable[[int], Vector]:
    """Return the function that bounds the drift [N] of every node in a round; without a departure it is 0.

    In the worst case, the rows of W_t and of W'_t both sum to 1, so Σ_j (W − W')_ij·x_j = Σ_j (W − W')_ij·(x_j − c) for
    any c; for messages in a ball of radius R this is at most R·Σ_j |W − W'|_ij.

    Args:
        training: how the network learned.
        bound: `worst-case`, or `instance` from the ledger.

    Returns:
        A function of the round t.

    Raises:
        CertificateError: if the worst case is asked for without a projection radius, or an instance bound without the
            measured drift.
    """
    if training.mixing_before is None:
        zero = np.zeros(training.mixing.nodes)
        return lambda t: zero
    if bound == "instance":
        return _measured_drift(training)
    if training.radius is None:
        raise CertificateError(
            "the worst-case bound for a departure `leave` needs a bound on the models: set learning.radius, which "
            "projects them onto a ball, or use the bound instance"
        )
    return _largest_drift(training, training.radius)


def _largest_drift(training: TrainingRun, radius: float) -> Callable[[int], Vector]:
    """Return the function that bounds the drift [N] of a round for messages in a ball."""
    last: tuple[object, object, Vector] | None = None

    def drift_of_round(t: int) -> Vector:
        nonlocal last
        assert training.mixing_before is not None
        before, after = training.mixing_before.matrix(t), training.mixing.matrix(t)
        if last is None or last[0] is not before or last[1] is not after:
            last = before, after, radius * weight_change(training, t)
        return last[2]

    return drift_of_round


def _measured_drift(training: TrainingRun) -> Callable[[int], Vector]:
    """Return the function that gives the drift [N] of a round as the ledger has it."""
    ledger, N = training.ledger, training.mixing.nodes
    if (
        ledger is None
        or ledger.mixing_drift is None
        or ledger.mixing_drift.shape != (training.rounds, len(ledger.affected_nodes))
    ):
        raise CertificateError("an instance bound after a departure needs the drift measured during learning")
    affected_nodes, measured = list(ledger.affected_nodes), ledger.mixing_drift

    def drift_of_round(t: int) -> Vector:
        drift = np.zeros(N)
        drift[affected_nodes] = measured[t]
        reweighted = weight_change(training, t) > 0
        missed = reweighted & (drift == 0)
        missed[affected_nodes] = False
        if missed.any():
            raise CertificateError(
                f"the ledger has no drift of node {int(np.argmax(missed))}, whose weights the departure has changed"
            )
        # A measured drift of 0, as for equal messages, does not make the two sums equal to the last bit.
        return np.where(reweighted & (drift == 0), np.finfo(float).tiny, drift)

    return drift_of_round


def weight_change(training: TrainingRun, round: int) -> Vector:
    """Return Σ_j |W_t − W'_t|_ij [N] for every node i that has not left, and 0 for departed nodes.

    Args:
        training: how the network learned, with the mixing matrices before a departure.
        round: t.
    """
    assert training.mixing_before is not None
    difference = abs(training.mixing_before.matrix(round) - training.mixing.matrix(round))
    return np.asarray(difference.sum(axis=1)).ravel() * training.present
