"""The optimal linear distinguisher between the unlearned and the retrained network for a certificate's view."""

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Release
from rewindnet.certificates.views.mu import mu_of_nodes, nodes_in_view

Parameters = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Distinguisher:
    """The test statistic X = Σ_i share_i·⟨towards_i, z_i⟩ of the nodes' standard noise z_i, with mean 0 or μ.

    X has unit variance. Its mean is 0 for the retrained network and μ for the unlearned one.

    Attributes:
        nodes: the nodes whose noise enters X.
        shares: the weight of each of these nodes; their squares sum to 1.
        towards: returns the unit vector [d] of a node.
        mu: μ, the distance between the two hypotheses.
    """

    nodes: tuple[int, ...]
    shares: tuple[float, ...]
    towards: Callable[[int], Vector]
    mu: float


def distinguisher(
    certificate: Certificate, mixing: Mixing, centre: Parameters, retrained: Parameters
) -> Distinguisher | None:
    """Return the optimal linear distinguisher of the unlearned from the retrained models, for a certificate's view.

    Args:
        certificate: the certificate, which gives the view and the noise.
        mixing: the mixing matrices of the network.
        centre: [N, d], the unlearned models where the noise is added, before the noise.
        retrained: [N, d], the retrained models at the same point.

    Returns:
        The distinguisher; None where nothing differs, where a node that differs carries no noise, or where the noise is
        not one Gaussian vector per node, added at one point.
    """
    release = certificate.release
    if not release.mechanism.one_vector:
        return None
    view = certificate.view.within(mixing.nodes)
    kind, node = view.kind, view.node

    def difference(i: int) -> Vector:
        return np.asarray(centre[i], dtype=np.float64) - np.asarray(retrained[i], dtype=np.float64)

    if release.averaged:
        return _single_vector(np.eye(1, mixing.nodes)[0], release.sigma, difference)
    distance = np.array([np.linalg.norm(difference(i)) for i in range(mixing.nodes)])
    if release.placement == "output" and kind == "node":
        if node is None:
            node = int(np.argmax(mu_of_nodes(distance, release, mixing)))
        return _single_vector(_gossip_weights(node, release, mixing), release.sigma, difference)
    in_view = nodes_in_view(certificate.view, distance, release, mixing)
    return _joint_vectors(np.flatnonzero(in_view), release.sigma, difference)


def _gossip_weights(node: int, release: Release, mixing: Mixing) -> Vector:
    """Return the weight [N] of every noised vector in the node's model after the gossip rounds."""
    row: Vector = np.eye(1, mixing.nodes, node)[0]
    for t in reversed(release.gossip):
        row = np.asarray(mixing.matrix(t).T @ row)
    return row


def _single_vector(weights: Vector, sigma: Vector, difference: Callable[[int], Vector]) -> Distinguisher | None:
    """Return the distinguisher for one observed vector: the sum of all noised vectors with these weights [N]."""
    nodes = np.flatnonzero(weights)
    shift = np.sum([weights[i] * difference(i) for i in nodes.tolist()], axis=0)
    spread = hypot(*(weights[nodes] * sigma[nodes]))
    distance = float(np.linalg.norm(shift))
    if not (distance > 0 and spread > 0 and isfinite(distance / spread)):
        return None
    noisy = nodes[sigma[nodes] > 0]
    shares = tuple((weights[noisy] * sigma[noisy] / spread).tolist())
    unit = shift / distance
    return Distinguisher(tuple(noisy.tolist()), shares, lambda _: unit, distance / spread)


def _joint_vectors(nodes: NDArray[np.intp], sigma: Vector, difference: Callable[[int], Vector]) -> Distinguisher | None:
    """Return the distinguisher for the noised vectors of all these nodes, observed together."""
    distance = {int(i): float(np.linalg.norm(difference(int(i)))) for i in nodes}
    differing = tuple(i for i, norm in distance.items() if norm > 0)
    if not differing or not np.all(sigma[list(differing)] > 0):
        return None
    ratios = [distance[i] / float(sigma[i]) for i in differing]
    mu = hypot(*ratios)
    if not isfinite(mu):
        return None
    return Distinguisher(differing, tuple(ratio / mu for ratio in ratios), lambda i: difference(i) / distance[i], mu)
