"""The worst-case sensitivities of many deletion requests at once, at every depth, from the constants alone.

They are those of `sensitivity.recursion`, computed before any learning.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.claim import Bound
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.release import Placement
from rewindnet.certificates.sensitivity.bounds import published_distance
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.sensitivity.recursion import Recursion
from rewindnet.certificates.training import TrainingRun

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class DepthSensitivities:
    """The sensitivities of k requests at one point where noise may be added.

    Attributes:
        placement: whether the noise is added before the descent on retained data (`rewind`) or after it (`output`).
        depth: K, the number of rewound rounds.
        start: [N, k], e^(T−K), the sensitivities of the checkpoint.
        sensitivity: [N, k], the sensitivities where the noise is added: e^(T−K) for `rewind`, e^T for `output`.
    """

    placement: Placement
    depth: int
    start: Matrix
    sensitivity: Matrix


def depth_sensitivities(
    training: TrainingRun,
    deleted: NDArray[np.int64],
    *,
    rewound: Collection[int],
    descent_rounds: Collection[int] = (),
    regime: Regime | None = None,
    bound: Bound = "worst-case",
) -> Iterator[DepthSensitivities]:
    """Yield the worst-case sensitivities of k requests at once, for every depth in question.

    Args:
        training: how the network would learn; its own deletions are ignored.
        deleted: [N, k], the number of samples that each request deletes at each node.
        rewound: the depths K for which the noise may be added to the checkpoint.
        descent_rounds: the depths K for which it may be added to the result of the descent; each of them costs K more
            rounds of the recursion.
        regime: the curvature to assume; by default the strongest that the constants prove.
        bound: `worst-case`, or `published`, which is NaN for requests that it does not cover.

    Yields:
        The sensitivities for every depth of `rewound` and `descent_rounds`, the deepest first.

    Raises:
        CertificateError: as `propagate`, except that sensitivities that are not finite are returned; and if learning
            uses minibatches, or a client has left and `deleted` is not the request of that departure alone.
    """
    T = training.rounds
    if training.batches is not None:
        raise CertificateError("minibatches cannot be planned: the disturbances then depend on the actual request")
    if training.departed and not np.array_equal(deleted, training.deleted[:, None]):
        raise CertificateError("each departure leaves another network, and is planned by itself")
    if training.uncovered:
        raise CertificateError(f"there is nothing to plan: {training.uncovered}")
    published = bound == "published"
    assumed = "nonconvex" if published else regime or strongest_regime(training)
    recursion = Recursion(training, deleted, T, "worst-case", assumed)
    state, finished = recursion.start, 0
    for depth in sorted({*rewound, *descent_rounds}, reverse=True):
        with np.errstate(over="ignore", invalid="ignore"):
            state, finished = recursion.advance(state, range(finished, T - depth), disturbed=True), T - depth
            begun = recursion.begun_from_checkpoint(state, T - depth)
            at_start = at_end = begun.sensitivity
            if depth in descent_rounds:
                at_end = recursion.advance(begun, range(T - depth, T), disturbed=False).sensitivity
            start, end = at_start.total, at_end.total
            if published:
                start = _published(training, deleted, T - depth, 0, at_start.rounding)
                end = _published(training, deleted, T - depth, depth, at_end.rounding)
        if depth in rewound:
            yield DepthSensitivities("rewind", depth, start, start)
        if depth in descent_rounds:
            yield DepthSensitivities("output", depth, start, end)


def _published(
    training: TrainingRun, deleted: NDArray[np.int64], disturbed: int, undisturbed: int, rounding: Matrix
) -> Matrix:
    """Return the published sensitivities [N, k], the same at every node; NaN for requests that it does not cover."""
    distances = np.full(deleted.shape[1], np.nan)
    for request, column in enumerate(deleted.T):
        if np.all(column < training.samples):
            distances[request] = published_distance(training, column, disturbed, undisturbed)
    return np.broadcast_to(distances + rounding.max(axis=0), deleted.shape).copy()
