"""The μ of a view: the distance of the two Gaussians that its observer must distinguish."""

from collections.abc import Callable
from math import hypot, inf

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from rewindnet.certificates.accounting.gaussian import mu_of_difference
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Release
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cone, light_cones

#: Above this number of nodes, μ of a model after gossip rounds is bounded by the joint view, not computed exactly.
_LARGEST_SETTLED = 5_000


def mu_of_view(view: View, distance: Vector, release: Release, mixing: Mixing) -> float:
    """Return μ of a view when the nodes' noised vectors differ by at most `distance` [N].

        output, node:v          distance_v/σ_v; after gossip rounds Σ_j P_vj·distance_j/√(Σ_j P_vj²·σ_j²), with P their
                                product (`gossip_product`)
        output, joint           √(Σ_i (distance_i/σ_i)²)
        output, average         mean(distance)/σ, with one noise vector on the average
        transcript:v            √(Σ_i (distance_i/σ_i)²) over the light cone of v (`light_cone`)
        transcript:all          the same over all nodes
        rewind, node:v          as transcript:v: the released model is post-processing of what has reached the node
        rewind, joint, average  as transcript:all, likewise

    `node` and `transcript` without a node stand for the node with the largest μ. With noise on the checkpoint and a
    network too large to follow every light cone (`light_cones`), the bound of transcript:all is used. Views that the
    noise does not cover must be excluded by the caller (see `why_not_covered`).

    Args:
        view: the view.
        distance: [N], the sensitivity (certificate) or the measured divergence (audit) where the noise is added.
        release: where the noise is added and how large it is; `sigma` [N].
        mixing: the mixing matrices of the rounds after the noise.

    Returns:
        μ ≥ 0; infinite where a node that may differ carries no noise.
    """
    kind, node = view.kind, view.within(mixing.nodes).node
    if release.placement == "output" and kind == "average" and release.averaged:
        return mu_of_difference(float(np.mean(distance)), float(release.sigma[0]))
    if release.placement == "output" and kind == "node":
        mus = mu_of_nodes(distance, release, mixing)
        return float(mus.max()) if node is None else float(mus[node])
    in_view = nodes_in_view(view, distance, release, mixing)
    return _joint_mu(distance[in_view], release.sigma[in_view])


def nodes_in_view(view: View, distance: Vector, release: Release, mixing: Mixing) -> NDArray[np.bool_]:
    """Return the mask [N] of the nodes whose noised vectors determine what a view shows.

    It does not apply to a single released model with its own noise (placement output).

    Args:
        view: the view, as for `mu_of_view`.
        distance: [N], from which the weakest node is found where the view names none.
        release: what was done.
        mixing: the mixing matrices of the network.
    """
    kind, node = view.kind, view.within(mixing.nodes).node
    if kind not in ("node", "transcript"):
        return np.ones(mixing.nodes, dtype=bool)
    return _weakest_cone(distance, release, mixing) if node is None else _cone_of_node(node, release, mixing)


def _cone_of_node(node: int, release: Release, mixing: Mixing) -> NDArray[np.bool_]:
    """Return the mask [N] of the nodes whose noised vector can have reached this node."""
    return light_cone(node, release.noise_round, release.rounds_after_noise, mixing)


def _weakest_cone(distance: Vector, release: Release, mixing: Mixing) -> NDArray[np.bool_]:
    """Return the light cone [N] with the largest μ; all nodes where it cannot be determined."""
    ratios = np.array([mu_of_difference(float(e), float(s)) for e, s in zip(distance, release.sigma, strict=True)])
    largest = float(ratios.max())
    if not 0 < largest < inf:
        return np.ones(mixing.nodes, dtype=bool)
    cones = light_cones(release.noise_round, release.rounds_after_noise, mixing)
    if cones is None:
        return np.ones(mixing.nodes, dtype=bool)
    return _cone_of_node(int(np.argmax(cones.sums((ratios / largest) ** 2))), release, mixing)


def why_not_covered(view: View, start: Callable[[], Vector], release: Release, mixing: Mixing) -> str | None:
    """Return the reason why a view has no ε although there is noise; None where it may have one.

    Args:
        view: the view.
        start: returns the sensitivity [N] of the checkpoint from which the descent starts; called only if needed.
        release: what was done.
        mixing: the mixing matrices of the network.
    """
    kind, node = view.kind, view.within(mixing.nodes).node
    # One node alone sends no messages: what its observer sees is the release.
    if view.shows_messages and release.placement == "output" and release.descent_rounds and mixing.nodes > 1:
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
    """Return P [N, N], the product of the mixing matrices of the gossip rounds after the noise (the identity for none).

    Args:
        release: what was done.
        mixing: the mixing matrices of the network.
    """
    P: csr_array = csr_array(eye_array(mixing.nodes))
    for t in release.gossip:
        P = csr_array(mixing.matrix(t) @ P)
    return P


def mu_of_nodes(distance: Vector, release: Release, mixing: Mixing) -> Vector:
    """Return μ [N] of every node's released model, for placement output.

    Args:
        distance: [N], the divergence where the noise is added, or a bound on it.
        release: what was done.
        mixing: the mixing matrices of the network.
    """
    if release.gossip_rounds == 0:
        return np.array([mu_of_difference(float(e), float(s)) for e, s in zip(distance, release.sigma, strict=True)])
    if mixing.nodes > _LARGEST_SETTLED:
        return np.full(mixing.nodes, _joint_mu(distance, release.sigma))
    P = gossip_product(release, mixing)
    largest = float(release.sigma.max()) or 1.0
    spread = largest * np.sqrt(np.asarray(P.power(2) @ (release.sigma / largest) ** 2))
    return np.array([mu_of_difference(float(e), float(s)) for e, s in zip(P @ distance, spread, strict=True)])


def _joint_mu(distance: Vector, sigma: Vector) -> float:
    """Return √(Σ_i (distance_i/σ_i)²) without overflow or underflow."""
    return hypot(*(mu_of_difference(float(e), float(s)) for e, s in zip(distance, sigma, strict=True)))
