"""Allocation of the noise among the nodes: the least total noise for a view, up to a common factor."""

from math import inf

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Release
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cone, light_cones

#: Above this number of nodes the allocation for the weakest single peer is the one for the joint view: valid, but not
#: minimal.
_LARGEST = 3_000

#: The relative gap to the least Σσ² at which the optimisation stops, and its largest number of steps.
_GAP, _MOST_STEPS = 1e-3, 1_000

#: The logarithm of the smallest dual weight, relative to the largest.
_SMALLEST_LOG_WEIGHT = -300.0

#: The smallest value that a square root of dual weights is taken to have.
_SMALLEST_ROOT = 1e-140

#: Added to every sensitivity, as a share of the largest over N, so that none is lost to rounding next to it. It
#: increases σ by a similarly small share.
_FLOOR = 1e-6


def noise_shape(view: View, allocation: str, sensitivity: Vector, release: Release, mixing: Mixing) -> Vector:
    """Return the noise [N] of each node, up to a common factor.

    With the allocation `uniform` it is the same at every node. With `optimal` it depends on the view:

    * one released model, placement output: what that node needs, σ_i ∝ e_i;
    * joint views: σ_i ∝ √e_i, which minimises Σσ_i² under Σ(e_i/σ_i)² = μ² (Lagrange: e_i²/σ_i³ ∝ σ_i);
    * what one peer sees after noise on its checkpoint: the same over the peer's light cone;
    * what the weakest such peer sees: `weakest_peer_shape`.

    Nodes that cannot differ get no noise. For a view of node v, nor do nodes from which nothing can have reached v.

    Args:
        view: the view.
        allocation: `uniform` or `optimal`.
        sensitivity: e [N].
        release: where the noise is added, and the rounds that follow it.
        mixing: the mixing matrices of the network.
    """
    if allocation == "uniform" or release.averaged or not np.any(sensitivity > 0):
        return np.ones_like(sensitivity)
    kind, node = view.kind, view.within(mixing.nodes).node
    relative: Vector = sensitivity / sensitivity.max()
    if kind == "node" and release.placement == "output":
        return relative
    if kind in ("node", "transcript") and node is not None:
        cone = light_cone(node, release.noise_round, release.rounds_after_noise, mixing)
        if np.any(sensitivity[cone] > 0):
            relative = np.where(cone, sensitivity, 0.0) / sensitivity[cone].max()
    if kind in ("node", "transcript") and node is None:
        return weakest_peer_shape(relative, release, mixing)
    return np.sqrt(relative)


def weakest_peer_shape(sensitivity: Vector, release: Release, mixing: Mixing) -> Vector:
    """Return the noise [N] with the least Σσ_i² under Σ(e_i/σ_i)² ≤ μ² over every node's light cone, up to a factor.

    Where one light cone contains every node that can differ, this is the noise of the joint view; on networks too large
    for the optimisation the noise of the joint view is returned as well. The common factor is computed elsewhere from
    the exact μ, so that no certificate depends on the convergence of the optimisation.

    Args:
        sensitivity: e [N].
        release: where the noise is added, and the rounds that follow it.
        mixing: the mixing matrices of the network.
    """
    joint, reached = np.sqrt(sensitivity), np.flatnonzero(sensitivity > 0)
    if mixing.nodes > _LARGEST:
        return joint
    cones = light_cones(release.noise_round, release.rounds_after_noise, mixing)
    if cones is None:
        return joint
    members = cones.within(reached).T
    if np.any(members.all(axis=1)):
        return joint
    views, e = csr_array(members[members.any(axis=1)], dtype=np.float64), sensitivity[reached]
    solved = np.sqrt(_solve(views, e))
    if _total_noise(solved, views, e) >= _total_noise(joint[reached], views, e):
        return joint
    shape = np.zeros_like(sensitivity)
    shape[reached] = solved
    return shape


def _solve(views: csr_array, e: Vector) -> Vector:
    """Return the σ² [n] that minimises Σσ_i² under Σ_i views_vi·(e_i/σ_i)² ≤ 1 for every view v, up to a factor.

    1. *Dual problem.* Give every view a weight π_v ≥ 0 with Σπ_v = 1, and let p = viewsᵀπ. For fixed weights the
       optimum is σ_i² ∝ e_i·√p_i. The least total is the square of max_π Σ_i e_i·√p_i, where the maximised function is
       concave.
    2. *Step.* Let h_v = (Σ_i views_vi·e_i/√p_i)/(Σ_i e_i·√p_i), the share of μ² that view v takes. The step π ← π∘h²
       does not decrease the maximised function (√ is concave: Jensen's inequality with weights π_v/p_i).
    3. *Stopping.* (max_v h_v) − 1 is the duality gap relative to the least total; the iteration stops at `_GAP`.
    4. *Acceleration.* Steps are lengthened by Nesterov's momentum on ln π, until a step decreases the maximised
       function.
    """
    e, by_node = e + _FLOOR / len(e), views.T.tocsr()
    log_weight = step = np.zeros(views.shape[0])
    objective, momentum, smallest_share, variances = -1.0, 0, inf, e
    for _ in range(_MOST_STEPS):
        log_weight = np.maximum(log_weight - log_weight.max(), _SMALLEST_LOG_WEIGHT)
        weight = np.exp(log_weight)
        root_weights = np.sqrt(by_node @ (weight / weight.sum()))
        # At the optimum √p_i ≥ e_i/Σe, so the noise may be computed with this lower bound. The step must not use it,
        # or a weight that has become far too small would recover too slowly.
        bounded_root = np.maximum(root_weights, e / e.sum())
        previous, objective = objective, float(e @ bounded_root)
        largest_share = float((views @ (e / bounded_root)).max()) / objective
        if largest_share < smallest_share:
            smallest_share, variances = largest_share, e * bounded_root
        if smallest_share <= 1 + _GAP:
            break
        momentum = momentum + 1 if objective >= previous else 0
        shares = views @ (e / np.maximum(root_weights, _SMALLEST_ROOT)) / float(e @ root_weights)
        previous_step, step = step, log_weight + 2 * np.log(shares)
        log_weight = step + momentum / (momentum + 3) * (step - previous_step)
    return variances


def _total_noise(sigma: Vector, views: csr_array, e: Vector) -> float:
    """Return Σσ_i² after scaling to μ = 1 for the weakest view."""
    return float((sigma**2).sum() * (views @ (e / sigma) ** 2).max())
