"""The noise that many deletion requests would need at every depth, from the constants alone and before any learning.

The sensitivities are those of `sensitivity.recursion` and the noise is that of `certificates.calibrate`. Here they are
computed for many clients at once, and the requirement of every view is derived from the same sensitivities.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.claim import Allocation
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.release import Placement, Release
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.sensitivity.recursion import Recursion
from rewindnet.certificates.sensitivity.rounding import least_noise, rounding_of_average
from rewindnet.certificates.training import Mixing, TrainingRun, Vector
from rewindnet.certificates.view import View
from rewindnet.certificates.views.allocation import noise_shape
from rewindnet.certificates.views.distances import mu_of_view
from rewindnet.certificates.views.light_cones import light_cone, light_cones

Matrix = NDArray[np.float64]

#: The largest number of requests whose sensitivities are in memory at once, times the number of nodes.
_BLOCK = 16_000_000

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)


@dataclass(frozen=True)
class Stop:
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


def sensitivities(
    training: TrainingRun,
    deleted: NDArray[np.int64],
    *,
    rewound: Collection[int],
    descent_rounds: Collection[int] = (),
    regime: Regime | None = None,
) -> Iterator[Stop]:
    """Yield the worst-case sensitivities of k requests at once, for every depth in question.

    Args:
        training: how the network would learn; its own deletions are ignored.
        deleted: [N, k], the number of samples that each request deletes at each node.
        rewound: the depths K for which the noise may be added to the checkpoint.
        descent_rounds: the depths K for which it may be added to the result of the descent; each of them costs K more
            rounds of the recursion.
        regime: the curvature to assume; by default the strongest that the constants prove.

    Yields:
        The sensitivities for every depth of `rewound` and `descent_rounds`, the deepest first.

    Raises:
        CertificateError: as `propagate`, except that sensitivities that are not finite are returned; and if learning
            uses minibatches or a client has left.
    """
    T = training.rounds
    if training.batches is not None or training.departed:
        raise CertificateError(
            "minibatches and departures cannot be planned: the disturbances then depend on the actual request"
        )
    recursion = Recursion(training, deleted, T, "worst-case", regime or strongest_regime(training))
    state, done = recursion.start, 0
    for depth in sorted({*rewound, *descent_rounds}, reverse=True):
        with np.errstate(over="ignore", invalid="ignore"):
            state, done = recursion.go_on(state, range(done, T - depth), disturbed=True), T - depth
            start = end = state.sensitivity.total
            if depth in descent_rounds:
                end = recursion.go_on(state, range(T - depth, T), disturbed=False).sensitivity.total
        if depth in rewound:
            yield Stop("rewind", depth, start, start)
        if depth in descent_rounds:
            yield Stop("output", depth, start, end)


@dataclass(frozen=True)
class Prices:
    """The noise that the requests of k clients need, in units of 1/μ: σ = needed/μ(ε, δ).

    The axes of `needed` and `finest` are placement × depth × view × allocation × client, [2, D, V, 2, k], in the order
    of `PLACEMENTS`, `depths`, `views` and `ALLOCATIONS`.

    Attributes:
        clients: [k], the deleting clients.
        depths: the depths K, increasing.
        views: the views.
        needed: σ·μ, root mean square over the nodes; NaN where no noise gives the view an ε, or it was not computed.
        finest: σ·μ of the node with the least noise above 0.
        least: [2, D], the smallest σ that the arithmetic resolves at that point.
        spread: [2, D, k], the effective number of nodes that share the sensitivity, (Σe)²/Σe², as a share of all nodes.
        kept: by placement and depth, the sensitivities [N] of the first client, for every depth of `descent_rounds`.
    """

    clients: NDArray[np.int64]
    depths: tuple[int, ...]
    views: tuple[View, ...]
    needed: NDArray[np.float64]
    finest: NDArray[np.float64]
    least: NDArray[np.float64]
    spread: NDArray[np.float64]
    kept: dict[tuple[Placement, int], Vector]


def prices(
    training: TrainingRun,
    clients: NDArray[np.int64],
    counts: NDArray[np.int64],
    views: Sequence[View],
    *,
    rewound: Collection[int],
    descent_rounds: Collection[int],
    regime: Regime | None = None,
) -> Prices:
    """Return the noise that the request of each of these clients would need, in every view and at every depth.

    Args:
        training: how the network would learn; its own deletions are ignored.
        clients: [k], the deleting client of each request; requests are independent of each other.
        counts: [k], the number of samples that each of them deletes.
        views: the views, as in a `Claim`.
        rewound: as for `sensitivities`.
        descent_rounds: as for `sensitivities`.
        regime: as for `sensitivities`.
    """
    N, k, depths = training.mixing.nodes, len(clients), tuple(sorted({*rewound, *descent_rounds}))
    shape = (len(PLACEMENTS), len(depths), len(views), len(ALLOCATIONS), k)
    needed, finest, spread = np.full(shape, np.nan), np.full(shape, np.nan), np.full((*shape[:2], k), np.nan)
    kept: dict[tuple[Placement, int], Vector] = {}
    chunk = max(1, _BLOCK // N)
    for first in range(0, k, chunk):
        here = slice(first, min(first + chunk, k))
        deleted = np.zeros((N, here.stop - first), dtype=np.int64)
        deleted[clients[here], np.arange(deleted.shape[1])] = counts[here]
        for stop in sensitivities(training, deleted, rewound=rewound, descent_rounds=descent_rounds, regime=regime):
            at = PLACEMENTS.index(stop.placement), depths.index(stop.depth)
            needed[(*at, ..., here)], finest[(*at, ..., here)] = _stop_prices(training, stop, views)
            spread[(*at, here)] = _spread(stop.sensitivity)
            if not first and stop.depth in descent_rounds:
                kept[stop.placement, stop.depth] = stop.sensitivity[:, 0].copy()
    sites = [
        [training.rounds - depth if where == "rewind" else training.rounds for depth in depths] for where in PLACEMENTS
    ]
    resolved = {site: least_noise(training, site) for site in {site for row in sites for site in row}}
    least = np.array([[resolved[site] for site in row] for row in sites])
    return Prices(clients, depths, tuple(views), needed, finest, least, spread, kept)


def _spread(e: Matrix) -> Vector:
    """Return (Σe)²/Σe² [k] of each column as a share of all nodes; NaN where the column is 0."""
    total, square = e.sum(axis=0), _norm(e) ** 2
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.where(square > 0, total**2 / (square * len(e)), np.nan)


def _stop_prices(training: TrainingRun, stop: Stop, views: Sequence[View]) -> tuple[Matrix, Matrix]:
    """Return (needed, finest), each [V, 2, k], at one point where noise may be added."""
    found = [_view_prices(training, stop, view) for view in views]
    needed, finest = (np.stack(part) for part in zip(*found, strict=True))
    return needed, finest


def _view_prices(training: TrainingRun, stop: Stop, view: View) -> tuple[Matrix, Matrix]:
    """Return (needed, finest), each [2, k], for one view: the noise of `calibrate` where μ(ε, δ) = 1.

    For a single node's model, σ_v = e_v suffices: uniform noise is the largest of these, and optimal noise is
    σ_i = e_i. For all models together, uniform noise is ‖e‖₂, and optimal noise is σ_i = √(e_i·Σe).
    """
    e, mixing = stop.sensitivity, training.mixing
    kind, node = view.kind, view.within(mixing.nodes).node
    with np.errstate(invalid="ignore", over="ignore"):
        if stop.placement == "output" and kind == "average":
            summed = e.mean(axis=0) + rounding_of_average(training, training.rounds) * (e.max(axis=0) > 0)
            return np.stack([summed, summed]), np.stack([summed, summed])
        if stop.placement == "output" and kind == "node":
            return _alone(e, node)
        if kind in ("node", "transcript"):
            needed, finest = _of_peers(training, stop, view, node)
        else:
            needed, finest = _together(e)
    if stop.placement == "output" and kind.startswith("transcript"):
        bare = _unnoised(training, stop, node)
        needed[:, bare], finest[:, bare] = np.nan, np.nan
    return needed, finest


def _of_peers(training: TrainingRun, stop: Stop, view: View, node: int | None) -> tuple[Matrix, Matrix]:
    """Return (needed, finest) for what a peer receives: the noised vectors of its light cone.

    Without a node, it is the peer with the weakest guarantee.
    """
    e, mixing, none = stop.sensitivity, training.mixing, np.zeros(training.mixing.nodes)
    release = Release("r2d", training.rounds - stop.depth, stop.depth, stop.placement, none)
    if node is not None:
        return _together(
            np.where(light_cone(node, release.noise_round, release.rounds_after_noise, mixing)[:, None], e, 0.0)
        )
    cones = light_cones(release.noise_round, release.rounds_after_noise, mixing)
    if cones is None or cones.sums(np.ones(mixing.nodes)).min() == mixing.nodes or not np.all(np.isfinite(e)):
        return _together(e)
    sigma = np.stack([[_least(view, allocation, one, release, mixing) for one in e.T] for allocation in ALLOCATIONS])
    return np.sqrt(np.mean(sigma**2, axis=2)), np.stack([_smallest(part.T) for part in sigma])


def _least(view: View, allocation: Allocation, e: Vector, release: Release, mixing: Mixing) -> Vector:
    """Return the σ [N] for which the view's μ is 1."""
    unit = noise_shape(view, allocation, e, release, mixing)
    return unit * mu_of_view(view, e, replace(release, sigma=unit), mixing)


def _alone(e: Matrix, node: int | None) -> tuple[Matrix, Matrix]:
    """Return (needed, finest) for one released model: that of a node, or the one with the weakest guarantee."""
    uniform = e.max(axis=0) if node is None else e[node]
    optimal = np.where(uniform > 0, _norm(e) / np.sqrt(len(e)), 0.0)
    return np.stack([uniform, optimal]), np.stack([uniform, np.where(uniform > 0, _smallest(e), 0.0)])


def _together(e: Matrix) -> tuple[Matrix, Matrix]:
    """Return (needed, finest) for the noised vectors of all nodes."""
    uniform, total = _norm(e), e.sum(axis=0)
    return np.stack([uniform, total / np.sqrt(len(e))]), np.stack([uniform, np.sqrt(_smallest(e) * total)])


def _unnoised(training: TrainingRun, stop: Stop, node: int | None) -> NDArray[np.bool_]:
    """Return a mask [k] of the requests whose transcript has un-noised messages that the deletion can have reached."""
    if not stop.depth:
        return np.zeros(stop.start.shape[1], dtype=bool)
    reached = stop.start > 0
    if node is not None:
        reached &= light_cone(node, training.rounds - stop.depth, stop.depth, training.mixing)[:, None]
    return np.asarray(reached.any(axis=0))


def _norm(e: Matrix) -> Vector:
    """Return ‖e‖₂ [k] of each column without overflow or underflow."""
    largest = e.max(axis=0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return np.asarray(scale * np.sqrt(np.einsum("ij,ij->j", e / scale, e / scale)))


def _smallest(e: Matrix) -> Vector:
    """Return the smallest entry [k] of each column that is not 0; 0 where all are."""
    least = np.where(e > 0, e, np.inf).min(axis=0)
    return np.asarray(np.where(e.max(axis=0) > 0, least, 0.0))
