"""Traces of noise: the vectors and fingerprints of a release, with which later releases of a run are compared."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.additions import Additions
from rewindnet.certificates.audits.noise.log import allowance_of, fingerprints, print_width
from rewindnet.certificates.network import Vector

Parameters = NDArray[np.floating[Any]]

#: Numbers that are held at once in double precision, besides the traces.
AT_ONCE = 1 << 24


class NoiseTraces(NamedTuple):
    """What later releases of a run are compared with.

    Attributes:
        prints: [M, k], the fingerprints of the vectors of a release, in units of their σ.
        slack: [M], τ of each.
        nodes: [n], the nodes of `vectors`.
        vectors: [n, d], the vector of each of these nodes, in units of its σ; [0, 0] where each node has several.
    """

    prints: NDArray[np.float64]
    slack: Vector
    nodes: NDArray[np.int64]
    vectors: NDArray[np.float64]


def no_traces(parameters: int) -> NoiseTraces:
    """Return the traces of a release without noise, of models with this number of parameters."""
    return NoiseTraces(np.zeros((0, print_width(parameters))), np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 0)))


def vector_traces(
    additions: Additions, centre: Parameters, noised: Parameters, roundoff: float, shared: bool = False
) -> NoiseTraces:
    """Return the vectors of noise that every node adds once, and their fingerprints, in units of their σ.

    Args:
        additions: what the mechanism says, one addition for each node.
        centre: [N, d], the models without the noise.
        noised: [N, d], the models with it.
        roundoff: u of the stored models.
        shared: whether all nodes add one and the same vector, of which only one is then returned, unless they differ.
    """
    nodes, sigma, d = additions.nodes, additions.sigma, centre.shape[1]
    r, slack, prints = np.empty((len(nodes), d)), np.empty(len(nodes)), np.empty((len(nodes), print_width(d)))
    for rows in some_rows(len(nodes), d):
        before, after = (np.asarray(models[nodes[rows]], dtype=np.float64) for models in (centre, noised))
        added = after - before
        sizes = 2 * norms_of(before) + norms_of(after)
        slack[rows] = allowance_of(roundoff, sizes, d, norms_of(added)) / sigma[rows]
        r[rows] = added / sigma[rows, None]
        prints[rows] = fingerprints(r[rows])
    if shared and not np.any(norms_of(r - r[0]) > slack + slack[0]):
        nodes, slack, r, prints = nodes[:1], slack[:1], r[:1], prints[:1]
    return NoiseTraces(prints, slack, nodes, r)


def some_rows(n: int, d: int) -> list[slice]:
    """Return slices of the rows of [n, d], of which each fits the memory in double precision."""
    step = max(1, AT_ONCE // max(1, d))
    return [slice(first, first + step) for first in range(0, n, step)]


def norms_of(vectors: NDArray[np.float64]) -> Vector:
    """Return the norm of every row."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))
