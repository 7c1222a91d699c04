"""How the noise is shared out over the nodes: as much as the claim needs, and no more in all."""

from math import inf

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.release import Release
from rewindnet.certificates.training import Mixing, Vector
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cone, light_cones

#: Above this many nodes the noise for the weakest view is that for the joint one: valid, and not the least.
_LARGEST = 3_000

#: How far above the least Σσ² the noise for the weakest view may stay, relatively, and how long one tries.
_GAP, _SWEEPS = 1e-3, 1_000

#: The logarithm of the smallest price, relative to the largest.
_CHEAPEST = -300.0

#: What a square root of prices is taken to be at least.
_SMALLEST = 1e-140

#: What is added to every sensitivity, as a share of the largest over N, so that none is lost beside it: it costs as
#: small a share of σ.
_FLOOR = 1e-6


def noise_shape(view: View, allocation: str, sensitivity: Vector, release: Release, mixing: Mixing) -> Vector:
    """[N], the noise of each node up to a common factor.

    `uniform`: the same everywhere. `optimal`: for one released model as much as that node needs, σ_i ∝ e_i; for joint
    views σ_i ∝ √e_i, which minimises Σσ_i² under Σ(e_i/σ_i)² = μ² (Lagrange: e_i²/σ_i³ ∝ σ_i); for what one peer sees
    after noise on its checkpoint the same over its light cone, and for the weakest such peer `weakest_shape`. Nodes
    that cannot differ get none, and for a view of node v those from which nothing can have reached v.
    """
    if allocation == "uniform" or release.averaged or not np.any(sensitivity > 0):
        return np.ones_like(sensitivity)
    kind, node = view.kind, view.within(mixing.nodes).node
    relative: Vector = sensitivity / sensitivity.max()
    if kind == "node" and release.placement == "output":
        return relative
    if kind in ("node", "transcript") and node is not None:
        seen = light_cone(node, release.noise_round, release.rounds_after_noise, mixing)
        if np.any(sensitivity[seen] > 0):
            relative = np.where(seen, sensitivity, 0.0) / sensitivity[seen].max()
    if kind in ("node", "transcript") and node is None:
        return weakest_shape(relative, release, mixing)
    return np.sqrt(relative)


def weakest_shape(sensitivity: Vector, release: Release, mixing: Mixing) -> Vector:
    """[N], the noise with the least Σσ_i² under Σ(e_i/σ_i)² ≤ μ² over every node's light cone, up to a factor.

    Where a light cone holds every node that can differ, it is the noise of the joint view, and on networks too large to
    solve for another as well. The factor is left to whoever knows μ, so what is certified rests on no convergence.
    """
    joint, reached = np.sqrt(sensitivity), np.flatnonzero(sensitivity > 0)
    if mixing.nodes > _LARGEST:
        return joint
    cones = light_cones(release.noise_round, release.rounds_after_noise, mixing)
    if cones is None:
        return joint
    holds = cones.within(reached).T
    if np.any(holds.all(axis=1)):
        return joint
    views, e = csr_array(holds[holds.any(axis=1)], dtype=np.float64), sensitivity[reached]
    solved = np.sqrt(_solved(views, e))
    if _total(solved, views, e) >= _total(joint[reached], views, e):
        return joint
    shape = np.zeros_like(sensitivity)
    shape[reached] = solved
    return shape


def _solved(views: csr_array, e: Vector) -> Vector:
    """σ² [n], up to a factor, that minimises Σσ_i² under Σ_i views_vi·(e_i/σ_i)² ≤ 1 for every view v, to `_GAP`.

    With a price π_v on every view, Σπ_v = 1, and p = viewsᵀπ, the best for these prices is σ_i² ∝ e_i·√p_i, and the
    least total is the square of max_π Σ_i e_i·√p_i, which is concave. With h_v the share of μ² that view v takes, the
    step π ← π∘h² does not decrease it (√ is concave: Jensen, with weights π_v/p_i), and (max_v h_v) − 1 is the duality
    gap, relative to the least total. Steps are lengthened by Nesterov's momentum, on ln π, until one decreases it.
    """
    e, holders = e + _FLOOR / len(e), views.T.tocsr()
    log_price = stepped = np.zeros(views.shape[0])
    value, momentum, least, best = -1.0, 0, inf, e
    for _ in range(_SWEEPS):
        log_price = np.maximum(log_price - log_price.max(), _CHEAPEST)
        price = np.exp(log_price)
        found = np.sqrt(holders @ (price / price.sum()))
        # At the best prices √p_i ≥ e_i/Σe, which a noise may rest on; a step may not, or a price that has become far
        # too small would recover too slowly.
        root = np.maximum(found, e / e.sum())
        before, value = value, float(e @ root)
        share = float((views @ (e / root)).max()) / value
        if share < least:
            least, best = share, e * root
        if least <= 1 + _GAP:
            break
        momentum = momentum + 1 if value >= before else 0
        taken = views @ (e / np.maximum(found, _SMALLEST)) / float(e @ found)
        last, stepped = stepped, log_price + 2 * np.log(taken)
        log_price = stepped + momentum / (momentum + 3) * (stepped - last)
    return best


def _total(sigma: Vector, views: csr_array, e: Vector) -> float:
    """Σσ_i² after scaling to μ = 1 for the weakest view."""
    return float((sigma**2).sum() * (views @ (e / sigma) ** 2).max())
