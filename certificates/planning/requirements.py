"""The noise that many deletion requests would need at every depth, from the constants alone and before any learning.

The noise is that of `certificates.calibrate`. Here it is computed for many clients at once, and the requirement of
every view is derived from the same sensitivities (`planning.sensitivities`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.claim import Allocation, Bound
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.network import Vector
from rewindnet.certificates.planning.sensitivities import DepthSensitivities, depth_sensitivities
from rewindnet.certificates.release import Placement, Release
from rewindnet.certificates.sensitivity.rounding import least_noise, rounding_of_average
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View
from rewindnet.certificates.views.allocation import noise_shape
from rewindnet.certificates.views.light_cones import light_cone, light_cones
from rewindnet.certificates.views.mu import mu_of_view

Matrix = NDArray[np.float64]

#: The largest number of requests whose sensitivities are in memory at once, times the number of nodes.
_BLOCK = 16_000_000

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)


@dataclass(frozen=True)
class NoiseRequirements:
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
        first_client_sensitivities: by placement and depth, the sensitivities [N] of the first client, for every depth
            of `descent_rounds`.
    """

    clients: NDArray[np.int64]
    depths: tuple[int, ...]
    views: tuple[View, ...]
    needed: NDArray[np.float64]
    finest: NDArray[np.float64]
    least: NDArray[np.float64]
    spread: NDArray[np.float64]
    first_client_sensitivities: dict[tuple[Placement, int], Vector]


def noise_requirements(
    training: TrainingRun,
    clients: NDArray[np.int64],
    counts: NDArray[np.int64],
    views: Sequence[View],
    *,
    rewound: Collection[int],
    descent_rounds: Collection[int],
    regime: Regime | None = None,
    bound: Bound = "worst-case",
) -> NoiseRequirements:
    """Return the noise that the request of each of these clients would need, in every view and at every depth.

    Args:
        training: how the network would learn; its own deletions are ignored.
        clients: [k], the deleting client of each request; requests are independent of each other.
        counts: [k], the number of samples that each of them deletes.
        views: the views, as in a `Claim`.
        rewound: as for `depth_sensitivities`.
        descent_rounds: as for `depth_sensitivities`.
        regime: as for `depth_sensitivities`.
        bound: as for `depth_sensitivities`.
    """
    N, k, depths = training.mixing.nodes, len(clients), tuple(sorted({*rewound, *descent_rounds}))
    shape = (len(PLACEMENTS), len(depths), len(views), len(ALLOCATIONS), k)
    needed, finest, spread = np.full(shape, np.nan), np.full(shape, np.nan), np.full((*shape[:2], k), np.nan)
    first_client: dict[tuple[Placement, int], Vector] = {}
    chunk = max(1, _BLOCK // N)
    for first in range(0, k, chunk):
        columns = slice(first, min(first + chunk, k))
        deleted = np.zeros((N, columns.stop - first), dtype=np.int64)
        deleted[clients[columns], np.arange(deleted.shape[1])] = counts[columns]
        for point in depth_sensitivities(
            training, deleted, rewound=rewound, descent_rounds=descent_rounds, regime=regime, bound=bound
        ):
            axes = PLACEMENTS.index(point.placement), depths.index(point.depth)
            needed[(*axes, ..., columns)], finest[(*axes, ..., columns)] = _requirements(training, point, views)
            spread[(*axes, columns)] = _effective_share(point.sensitivity)
            if not first and point.depth in descent_rounds:
                first_client[point.placement, point.depth] = point.sensitivity[:, 0].copy()
    least = _resolvable_noise(training, depths)
    return NoiseRequirements(clients, depths, tuple(views), needed, finest, least, spread, first_client)


def sigma_for(requirements: NoiseRequirements, mu: float) -> Matrix:
    """Compute the σ that reaches μ.

    Where the arithmetic would round the noise of a node away, that node gets the least that is resolved, as in
    `calibrate`. If all nodes have the same noise, this is the least; otherwise √(σ² + least²) is an upper bound on the
    root mean square.

    Returns:
        [2, D, V, 2, k], by placement, depth, view, allocation and client; NaN if no finite σ reaches μ.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = requirements.needed / mu * (1 + 1e-12)
        least = requirements.least[:, :, None, None, None]
        lost = (requirements.finest > 0) & (requirements.finest / mu < least)
        uniform = requirements.finest >= requirements.needed * (1 - 1e-9)
        # Nodes that have left carry no noise, so the root mean square may be less than what every other node carries.
        raised = np.where(uniform, least * (requirements.needed / requirements.finest), np.hypot(sigma, least))
    return np.asarray(np.where(np.isfinite(sigma), np.where(lost, raised, sigma), np.nan))


def departure_requirements(
    departures: Sequence[TrainingRun],
    views: Sequence[View],
    *,
    rewound: Collection[int],
    descent_rounds: Collection[int],
    regime: Regime | None = None,
    bound: Bound = "worst-case",
) -> NoiseRequirements:
    """Return the noise that departures would need, each of which leaves another network; NaN in a view of who left.

    Args:
        departures: how the network would learn, and which node then leaves, for each of k departures.
        views: as for `noise_requirements`.
        rewound: as for `depth_sensitivities`.
        descent_rounds: as for `depth_sensitivities`.
        regime: as for `depth_sensitivities`.
        bound: as for `depth_sensitivities`.
    """
    each = []
    for training in departures:
        left = np.array(training.departed)
        each.append(
            noise_requirements(
                training,
                left,
                training.samples[left],
                views,
                rewound=rewound,
                descent_rounds=descent_rounds,
                regime=regime,
                bound=bound,
            )
        )
    return replace(
        each[0],
        clients=np.concatenate([one.clients for one in each]),
        needed=np.concatenate([one.needed for one in each], axis=-1),
        finest=np.concatenate([one.finest for one in each], axis=-1),
        least=np.max([one.least for one in each], axis=0),
        spread=np.concatenate([one.spread for one in each], axis=-1),
    )


def _resolvable_noise(training: TrainingRun, depths: Sequence[int]) -> Matrix:
    """Return the smallest σ [2, D] that the arithmetic resolves, for each placement and depth."""
    T = training.rounds
    rounds = [[T - depth if placement == "rewind" else T for depth in depths] for placement in PLACEMENTS]
    resolved = {t: least_noise(training, t) for t in {t for row in rounds for t in row}}
    return np.array([[resolved[t] for t in row] for row in rounds])


def _effective_share(e: Matrix) -> Vector:
    """Return (Σe)²/Σe² [k] of each column as a share of all nodes; NaN where the column is 0."""
    total, square = e.sum(axis=0), _column_norms(e) ** 2
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.where(square > 0, total**2 / (square * len(e)), np.nan)


def _requirements(training: TrainingRun, point: DepthSensitivities, views: Sequence[View]) -> tuple[Matrix, Matrix]:
    """Return (needed, finest), each [V, 2, k], at one point where noise may be added."""
    by_view = [_view_requirements(training, point, view) for view in views]
    needed, finest = (np.stack(arrays) for arrays in zip(*by_view, strict=True))
    return needed, finest


def _view_requirements(training: TrainingRun, point: DepthSensitivities, view: View) -> tuple[Matrix, Matrix]:
    """Return (needed, finest), each [2, k], for one view: the noise of `calibrate` where μ(ε, δ) = 1.

    For a single node's model, σ_v = e_v suffices: uniform noise is the largest of these, and optimal noise is
    σ_i = e_i. For all models together, uniform noise is ‖e‖₂, and optimal noise is σ_i = √(e_i·Σe).
    """
    e, mixing = point.sensitivity, training.mixing
    kind, node = view.kind, view.within(mixing.nodes).node
    averaged = point.placement == "output" and kind == "average"
    if node in training.departed or (averaged and training.departed):
        return np.full((2, e.shape[1]), np.nan), np.full((2, e.shape[1]), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        if averaged:
            of_average = e.mean(axis=0) + rounding_of_average(training, training.rounds) * (e.max(axis=0) > 0)
            return np.stack([of_average, of_average]), np.stack([of_average, of_average])
        if point.placement == "output" and kind == "node":
            return _single_model_requirements(e, node, training)
        if kind in ("node", "transcript"):
            needed, finest = _peer_requirements(training, point, view, node)
        else:
            needed, finest = _joint_requirements(e, training)
    if point.placement == "output" and kind.startswith("transcript"):
        uncovered = _has_unnoised_messages(training, point, node)
        needed[:, uncovered], finest[:, uncovered] = np.nan, np.nan
    return needed, finest


def _peer_requirements(
    training: TrainingRun, point: DepthSensitivities, view: View, node: int | None
) -> tuple[Matrix, Matrix]:
    """Return (needed, finest) for what a peer receives: the noised vectors of its light cone.

    Without a node, it is the peer with the weakest guarantee.
    """
    e, mixing, no_noise = point.sensitivity, training.mixing, np.zeros(training.mixing.nodes)
    release = Release("planned", training.rounds - point.depth, point.depth, point.placement, no_noise)
    if node is not None:
        cone = light_cone(node, release.noise_round, release.rounds_after_noise, mixing)
        return _joint_requirements(np.where(cone[:, None], e, 0.0), training)
    cones = light_cones(release.noise_round, release.rounds_after_noise, mixing)
    if cones is None or cones.sums(np.ones(mixing.nodes)).min() == mixing.nodes or not np.all(np.isfinite(e)):
        return _joint_requirements(e, training)
    sigma = np.stack(
        [[_unit_noise(view, allocation, request, release, training) for request in e.T] for allocation in ALLOCATIONS]
    )
    return np.sqrt(np.mean(sigma**2, axis=2)), np.stack([_smallest_nonzero(noise.T) for noise in sigma])


def _unit_noise(view: View, allocation: Allocation, e: Vector, release: Release, training: TrainingRun) -> Vector:
    """Return the σ [N] for which the view's μ is 1."""
    unit = noise_shape(view, allocation, e, release, training.mixing) * training.present
    return unit * mu_of_view(view, e, replace(release, sigma=unit), training.mixing)


def _uniform_share(training: TrainingRun) -> float:
    """Return the root mean square over all nodes of a noise of 1 at every node that has not left."""
    return float(np.sqrt(training.present.mean()))


def _single_model_requirements(e: Matrix, node: int | None, training: TrainingRun) -> tuple[Matrix, Matrix]:
    """Return (needed, finest) for one released model: that of a node, or the one with the weakest guarantee."""
    uniform = e.max(axis=0) if node is None else e[node]
    optimal = np.where(uniform > 0, _column_norms(e) / np.sqrt(len(e)), 0.0)
    finest = np.stack([uniform, np.where(uniform > 0, _smallest_nonzero(e), 0.0)])
    return np.stack([uniform * _uniform_share(training), optimal]), finest


def _joint_requirements(e: Matrix, training: TrainingRun) -> tuple[Matrix, Matrix]:
    """Return (needed, finest) for the noised vectors of all nodes."""
    uniform, total = _column_norms(e), e.sum(axis=0)
    needed = np.stack([uniform * _uniform_share(training), total / np.sqrt(len(e))])
    return needed, np.stack([uniform, np.sqrt(_smallest_nonzero(e) * total)])


def _has_unnoised_messages(training: TrainingRun, point: DepthSensitivities, node: int | None) -> NDArray[np.bool_]:
    """Return a mask [k] of the requests whose transcript has un-noised messages that the deletion can have reached."""
    if not point.depth or training.mixing.nodes == 1:
        return np.zeros(point.start.shape[1], dtype=bool)
    reached = point.start > 0
    if node is not None:
        reached &= light_cone(node, training.rounds - point.depth, point.depth, training.mixing)[:, None]
    return np.asarray(reached.any(axis=0))


def _column_norms(e: Matrix) -> Vector:
    """Return ‖e‖₂ [k] of each column without overflow or underflow."""
    largest = e.max(axis=0)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return np.asarray(scale * np.sqrt(np.einsum("ij,ij->j", e / scale, e / scale)))


def _smallest_nonzero(e: Matrix) -> Vector:
    """Return the smallest entry [k] of each column that is not 0; 0 where all are."""
    smallest = np.where(e > 0, e, np.inf).min(axis=0)
    return np.asarray(np.where(e.max(axis=0) > 0, smallest, 0.0))
