"""Who sees what: the distance μ between the two Gaussians that a view must tell apart."""

from collections.abc import Callable
from math import hypot, inf

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from rewindnet.certificates.release import Release
from rewindnet.certificates.training import Mixing, Vector
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cone, light_cones

#: Above this many nodes the settled noise of every node is bounded by the joint view instead of computed exactly.
_LARGEST_SETTLED = 5_000


def mu_of_view(view: View, distance: Vector, release: Release, mixing: Mixing) -> float:
    """μ of a view when the nodes' noised vectors lie at most `distance` [N] apart.

    output, node:v          distance_v / σ_v; after `settle` gossip rounds P: Σ_j P_vj·distance_j / √(Σ_j P_vj²·σ_j²)
    output, joint           √(Σ_i (distance_i/σ_i)²)
    output, average         mean(distance) / σ, one noise vector on the average
    transcript:v            √(Σ_i (distance_i/σ_i)²) over the light cone of v (`light_cone`)
    transcript:all          the same over all nodes
    rewind, node:v          as transcript:v: the released model is post-processing of what has reached the node
    rewind, joint, average  as transcript:all, likewise

    `node` and `transcript` are the worst node; with noise on the checkpoint, on a network too large to follow every
    light cone (`light_cones`), the bound of transcript:all. The caller answers for what the view cannot cover (see
    `uncovered`).

    Args:
        view: node, node:v, joint, average, transcript, transcript:v or transcript:all.
        distance: [N] sensitivity (certificate) or measured divergence (audit) at the place of the noise.
        release: where the noise is and how large; `sigma` [N].
        mixing: the network, for the rounds that follow the noise.

    Returns:
        μ ≥ 0; infinite where a node that may differ carries no noise.
    """
    kind, node = view.kind, view.within(mixing.nodes).node
    if release.placement == "output" and kind == "average" and release.averaged:
        return _ratio(float(np.mean(distance)), float(release.sigma[0]))
    if release.placement == "output" and kind == "node":
        every = node_views(distance, release, mixing)
        return float(every.max()) if node is None else float(every[node])
    seen = seen_by(view, distance, release, mixing)
    return _together(distance[seen], release.sigma[seen])


def seen_by(view: View, distance: Vector, release: Release, mixing: Mixing) -> NDArray[np.bool_]:
    """[N], whose noised vectors what a view shows is made of, unless it is one released model under its own noise.

    Args:
        view: as for `mu_of_view`.
        distance: [N], by which the worst node is found.
        release: what was done.
        mixing: the network.
    """
    kind, node = view.kind, view.within(mixing.nodes).node
    if kind not in ("node", "transcript"):
        return np.ones(mixing.nodes, dtype=bool)
    return _weakest(distance, release, mixing) if node is None else _cone(node, release, mixing)


def _cone(node: int, release: Release, mixing: Mixing) -> NDArray[np.bool_]:
    """[N], whose noised vector can have reached this node."""
    return light_cone(node, release.noise_round, release.rounds_after_noise, mixing)


def _weakest(distance: Vector, release: Release, mixing: Mixing) -> NDArray[np.bool_]:
    """[N], the light cone over which the noise hides the least; every node where that cannot be told."""
    ratios = np.array([_ratio(float(e), float(s)) for e, s in zip(distance, release.sigma, strict=True)])
    largest = float(ratios.max())
    if not 0 < largest < inf:
        return np.ones(mixing.nodes, dtype=bool)
    cones = light_cones(release.noise_round, release.rounds_after_noise, mixing)
    if cones is None:
        return np.ones(mixing.nodes, dtype=bool)
    return _cone(int(np.argmax(cones.sums((ratios / largest) ** 2))), release, mixing)


def why_not_covered(view: View, start: Callable[[], Vector], release: Release, mixing: Mixing) -> str | None:
    """Why a view gets no number although there is noise, or None.

    Args:
        view: the view.
        start: gives the sensitivity [N] of the checkpoint that the descent starts from; asked only if it matters.
        release: what was done.
        mixing: the network, for what reaches whom.
    """
    kind, node = view.kind, view.within(mixing.nodes).node
    if view.shows_messages and release.placement == "output" and release.descent_rounds:
        reached = start() > 0
        if node is not None:
            reached &= light_cone(node, release.checkpoint_round, release.descent_rounds, mixing)
        if reached.any():
            return (
                "the messages of the unlearning rounds start from un-noised checkpoints and are not covered; "
                "placement rewind covers them"
            )
    if release.averaged and kind != "average":
        return "only the network average carries noise; no other view of this release is covered"
    return None


def gossip_product(release: Release, mixing: Mixing) -> csr_array:
    """P [N, N], the product of the mixing matrices of the gossip rounds after the noise (the identity for none)."""
    first = release.checkpoint_round + release.descent_rounds
    P: csr_array = csr_array(eye_array(mixing.nodes))
    for t in range(first, first + release.gossip_rounds):
        P = csr_array(mixing.matrix(t) @ P)
    return P


def node_views(distance: Vector, release: Release, mixing: Mixing) -> Vector:
    """[N], μ of every node's released model, for noise on the result."""
    if release.gossip_rounds == 0:
        return np.array([_ratio(float(e), float(s)) for e, s in zip(distance, release.sigma, strict=True)])
    if mixing.nodes > _LARGEST_SETTLED:
        return np.full(mixing.nodes, _together(distance, release.sigma))
    P = gossip_product(release, mixing)
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
