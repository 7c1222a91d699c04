"""Who sees what: the distance μ between the two Gaussians that a view must tell apart."""

from collections.abc import Callable
from math import hypot, inf

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from certificates.records import Mixing, Release, Vector, parse_view

#: Above this many nodes the settled noise of every node is bounded by the joint view instead of computed exactly.
_LARGEST_SETTLED = 5_000


def mu_of_view(view: str, distance: Vector, release: Release, mixing: Mixing) -> float:
    """μ of a view when the nodes' noised vectors lie at most `distance` [N] apart.

    output, node:v          distance_v / σ_v; after `settle` gossip rounds P: Σ_j P_vj·distance_j / √(Σ_j P_vj²·σ_j²)
    output, joint           √(Σ_i (distance_i/σ_i)²)
    output, average         mean(distance) / σ, one noise vector on the average
    transcript:v: √(Σ_i (distance_i/σ_i)²) over the nodes whose noised vector can have reached v (`light_cone`)
    transcript:all, and every other view of placement rewind: the same over all nodes; what follows is post-processing

    `node` is the worst node. The caller answers for what the view cannot cover (see `uncovered`).

    Args:
        view: node, node:v, joint, average, transcript:v or transcript:all.
        distance: [N] sensitivity (certificate) or measured divergence (audit) at the place of the noise.
        release: where the noise is and how large; `sigma` [N].
        mixing: the network, for the rounds that follow the noise.

    Returns:
        μ ≥ 0; infinite where a node that may differ carries no noise.
    """
    kind, node = parse_view(view, mixing.nodes)
    if release.placement == "output" and kind == "average" and release.averaged:
        return _ratio(float(np.mean(distance)), float(release.sigma[0]))
    if release.placement == "output" and kind == "node":
        every = node_views(distance, release, mixing)
        return float(every.max()) if node is None else float(every[node])
    if kind == "transcript" and node is not None:
        seen = light_cone(node, release.site, release.rounds_after_noise, mixing)
        return _together(distance[seen], release.sigma[seen])
    return _together(distance, release.sigma)


def light_cone(node: int, first: int, rounds: int, mixing: Mixing) -> NDArray[np.bool_]:
    """[N], whose vector at the start of round `first` something that the node has after so many rounds may depend on.

    Everything that the node has received on the way, and its own vector, count. Nothing travels faster than one hop of
    the realised graphs in a round.
    """
    seen = np.zeros(mixing.nodes, dtype=bool)
    seen[node] = True
    for t in reversed(range(first, first + rounds)):
        if seen.all():
            break
        heard = mixing.matrix(t)[np.flatnonzero(seen)]
        seen[heard.indices[heard.data != 0]] = True
    return seen


def uncovered(view: str, start: Callable[[], Vector], release: Release, mixing: Mixing) -> str | None:
    """Why a view gets no number although there is noise, or None.

    Args:
        view: the view.
        start: gives the sensitivity [N] of the checkpoint that the descent starts from; asked only if it matters.
        release: what was done.
        mixing: the network, for what reaches whom.
    """
    kind, node = parse_view(view, mixing.nodes)
    if kind.startswith("transcript") and release.placement == "output" and release.descended:
        reached = start() > 0
        if node is not None:
            reached &= light_cone(node, release.restored, release.descended, mixing)
        if reached.any():
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


def node_views(distance: Vector, release: Release, mixing: Mixing) -> Vector:
    """[N], μ of every node's released model, for noise on the result."""
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


def noise_shape(view: str, allocation: str, sensitivity: Vector, release: Release, mixing: Mixing) -> Vector:
    """[N], the noise of each node up to a common factor.

    `uniform`: the same everywhere. `optimal`: for one node's view as much as that node needs, σ_i ∝ e_i; for joint
    views σ_i ∝ √e_i, which minimises Σσ_i² under Σ(e_i/σ_i)² = μ² (Lagrange: e_i²/σ_i³ ∝ σ_i). Nodes that cannot
    differ get none, and for the view transcript:v those from which nothing can have reached v.
    """
    if allocation == "uniform" or release.averaged or not np.any(sensitivity > 0):
        return np.ones_like(sensitivity)
    kind, node = parse_view(view, mixing.nodes)
    if kind == "transcript" and node is not None:
        seen = light_cone(node, release.site, release.rounds_after_noise, mixing)
        if np.any(sensitivity[seen] > 0):
            sensitivity = np.where(seen, sensitivity, 0.0)
    alone = release.placement == "output" and kind == "node"
    relative: Vector = sensitivity / sensitivity.max()
    return relative if alone else np.sqrt(relative)
