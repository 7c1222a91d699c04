"""Who sees what: the distance μ between the two Gaussians that a view must tell apart."""

from collections.abc import Callable
from math import hypot, inf

import numpy as np
from scipy.sparse import csr_array, eye_array

from certificates.records import Mixing, Release, Vector, parse_view

#: Above this many nodes the settled noise of every node is bounded by the joint view instead of computed exactly.
_LARGEST_SETTLED = 5_000


def mu_of_view(view: str, distance: Vector, release: Release, mixing: Mixing) -> float:
    """μ of a view when the nodes' noised vectors lie at most `distance` [N] apart.

    output, node:v          distance_v / σ_v; after `settle` gossip rounds P: Σ_j P_vj·distance_j / √(Σ_j P_vj²·σ_j²)
    output, joint           √(Σ_i (distance_i/σ_i)²)
    output, average         mean(distance) / σ, one noise vector on the average
    transcript:all, and every view of placement rewind: √(Σ_i (distance_i/σ_i)²); what follows is post-processing

    `node` is the worst node. The caller answers for what the view cannot cover (see `uncovered`).

    Args:
        view: node, node:v, joint, average or transcript:all.
        distance: [N] sensitivity (certificate) or measured divergence (audit) at the place of the noise.
        release: where the noise is and how large; `sigma` [N].
        mixing: the network, for the gossip rounds that settle the noise.

    Returns:
        μ ≥ 0; infinite where a node that may differ carries no noise.
    """
    kind, node = parse_view(view, mixing.nodes)
    if release.placement == "output" and kind == "average" and release.averaged:
        return _ratio(float(np.mean(distance)), float(release.sigma[0]))
    if release.placement == "output" and kind == "node":
        every = _node_views(distance, release, mixing)
        return float(every.max()) if node is None else float(every[node])
    return _together(distance, release.sigma)


def uncovered(view: str, start: Callable[[], Vector], release: Release) -> str | None:
    """Why a view gets no number although there is noise, or None.

    Args:
        view: the view.
        start: gives the sensitivity [N] of the checkpoint that the descent starts from; asked only if it matters.
        release: what was done.
    """
    if view == "transcript:all" and release.placement == "output" and release.descended and np.any(start() > 0):
        return (
            "the messages of the unlearning rounds start from un-noised checkpoints and are not covered; "
            "placement rewind covers them"
        )
    if release.averaged and view != "average":
        return "only the network average carries noise; no other view of this release is covered"
    return None


def settled(release: Release, mixing: Mixing) -> csr_array:
    """P [N, N], the product of the mixing matrices of the gossip rounds after the noise (the identity for none)."""
    first = release.restored + release.descended
    P: csr_array = csr_array(eye_array(mixing.nodes))
    for t in range(first, first + release.settle):
        P = csr_array(mixing.matrix(t) @ P)
    return P


def _node_views(distance: Vector, release: Release, mixing: Mixing) -> Vector:
    if release.settle == 0:
        return np.array([_ratio(float(e), float(s)) for e, s in zip(distance, release.sigma, strict=True)])
    if mixing.nodes > _LARGEST_SETTLED:
        return np.full(mixing.nodes, _together(distance, release.sigma))
    P = settled(release, mixing)
    largest = float(release.sigma.max()) or 1.0
    spread = largest * np.sqrt(np.asarray(P.power(2) @ (release.sigma / largest) ** 2))
    return np.array([_ratio(float(e), float(s)) for e, s in zip(P @ distance, spread, strict=True)])


def _together(distance: Vector, sigma: Vector) -> float:
    """√(Σ_i (distance_i/σ_i)²), whatever the size of the numbers."""
    return hypot(*(_ratio(float(e), float(s)) for e, s in zip(distance, sigma, strict=True)))


def _ratio(distance: float, sigma: float) -> float:
    if distance == 0:
        return 0.0
    return distance / sigma if sigma > 0 else inf


def noise_shape(view: str, allocation: str, sensitivity: Vector, release: Release) -> Vector:
    """[N], the noise of each node up to a common factor.

    `uniform`: the same everywhere. `optimal`: for one node's view as much as that node needs, σ_i ∝ e_i; for joint
    views σ_i ∝ √e_i, which minimises Σσ_i² under Σ(e_i/σ_i)² = μ² (Lagrange: e_i²/σ_i³ ∝ σ_i). Nodes that cannot
    differ get none.
    """
    if allocation == "uniform" or release.averaged or not np.any(sensitivity > 0):
        return np.ones_like(sensitivity)
    alone = release.placement == "output" and parse_view(view)[0] == "node"
    relative: Vector = sensitivity / sensitivity.max()
    return relative if alone else np.sqrt(relative)
