"""Mixing rules: the weights with which each node averages the messages it receives.

Each rule is a function `rule(graph, *, settings) -> csr_array`. It returns the mixing matrix W [N, N] in float64 with
the columns of each row in order: non-negative, with rows that sum to 1, and zero off the diagonal and the graph's
edges. All rules, except the one that reads a file, return exactly symmetric and hence doubly stochastic matrices.
"""

from itertools import pairwise
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import Edges, Graph, adjacency, edge_array

#: The tolerance within which a row sums to 1, and within which two mirrored entries are equal.
TOLERANCE = 1e-9
#: How many rows of a matrix are looked at together, where that takes several times their memory.
_ROWS_AT_ONCE = 1 << 17

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]


def metropolis_hastings(graph: Graph) -> sparse.csr_array:
    """Give each link the weight 1/(1 + the larger degree of its two ends), and each node the rest for itself.

    Xiao, Boyd and Lall, "Distributed average consensus with time-varying Metropolis weights" (2006).

    Args:
        graph: the graph on the nodes 0..N-1.
    """
    edges = edge_array(graph)
    return _matrix(len(graph), edges, _metropolis_weights(len(graph), edges))


def max_degree(graph: Graph) -> sparse.csr_array:
    """Give every link the weight 1/(1 + the largest degree of the graph), and each node the rest for itself.

    Xiao and Boyd, "Fast linear iterations for distributed averaging" (2004), section 4.1.

    Args:
        graph: the graph on the nodes 0..N-1.
    """
    edges = edge_array(graph)
    return _matrix(len(graph), edges, _max_degree_weights(len(graph), edges))


def lazy_metropolis_hastings(graph: Graph, *, laziness: float = 0.5) -> sparse.csr_array:
    """Use Metropolis-Hastings weights after each node reserves a share `laziness` for its own value.

    Args:
        graph: the graph on the nodes 0..N-1.
        laziness: the share, in [0, 1).

    Raises:
        TopologyError: if the laziness is out of range.
    """
    edges = edge_array(graph)
    return _matrix(len(graph), edges, _mixing_share(laziness) * _metropolis_weights(len(graph), edges))


def lazy_max_degree(graph: Graph, *, laziness: float = 0.5) -> sparse.csr_array:
    """Use max-degree weights after each node reserves a share `laziness` for its own value.

    Args:
        graph: the graph on the nodes 0..N-1.
        laziness: the share, in [0, 1).

    Raises:
        TopologyError: if the laziness is out of range.
    """
    edges = edge_array(graph)
    return _matrix(len(graph), edges, _mixing_share(laziness) * _max_degree_weights(len(graph), edges))


def uniform(graph: Graph) -> sparse.csr_array:
    """Average all nodes equally, W = 11ᵀ/N, as a server does; for the complete graph only.

    Args:
        graph: the graph on the nodes 0..N-1.

    Raises:
        TopologyError: if two nodes of the graph are not linked.
    """
    nodes, links = len(graph), len(edge_array(graph))
    if 2 * links != nodes * (nodes - 1):
        raise TopologyError(
            f"uniform mixing needs the complete graph, with {nodes * (nodes - 1) // 2} links on {nodes} "
            f"nodes; this one has {links}: choose the complete topology, or metropolis-hastings"
        )
    return average_of_all(nodes)


def average_of_all(nodes: int) -> sparse.csr_array:
    """Return W = 11ᵀ/N, by which every node receives the average of all.

    Args:
        nodes: N.
    """
    return sparse.csr_array(np.full((nodes, nodes), 1.0 / nodes))


def validate(W: sparse.csr_array, graph: Graph, symmetric: bool = True) -> None:
    """Refuse a matrix that is not a mixing matrix of this graph.

    Args:
        W: the matrix [N, N] with the columns of each row in order.
        graph: the graph on the nodes 0..N-1.
        symmetric: whether W must be symmetric as well.

    Raises:
        TopologyError: if W is not square of size N, finite and non-negative, with rows that sum to 1 and zeros off the
            diagonal and the edges, or is not symmetric though it must be; the message names the first wrong entry.
    """
    nodes = len(graph)
    if W.shape != (nodes, nodes):
        shape = " × ".join(map(str, W.shape))
        raise TopologyError(f"the mixing matrix of {nodes} nodes is {nodes} × {nodes}, not {shape}")
    entries = W.tocoo()
    row, column, value = entries.row, entries.col, entries.data
    _refuse(row, column, value, ~np.isfinite(value), "must be finite")
    _refuse(row, column, value, value < 0, "must not be negative")
    # At a tolerance of 1e-9 the exactness of math.fsum, which `_matrix` needs, is not needed here.
    sums = np.bincount(row, weights=value, minlength=nodes)
    wrong = np.flatnonzero(np.abs(sums - 1) > TOLERANCE)
    if wrong.size:
        raise TopologyError(f"each row of a mixing matrix sums to 1; row {wrong[0]} sums to {float(sums[wrong[0]])!r}")
    del entries, row, column, value
    _refuse_outside(W, graph)
    if symmetric:
        asymmetric = _asymmetry(W)
        _refuse(
            asymmetric.row,
            asymmetric.col,
            W[asymmetric.row, asymmetric.col],
            np.abs(asymmetric.data) > TOLERANCE,
            "differs from its mirror image",
        )


def is_symmetric(W: sparse.csr_array) -> bool:
    """Return whether W equals its transpose to within `TOLERANCE`.

    Args:
        W: the matrix [N, N].
    """
    return not bool((np.abs(_asymmetry(W).data) > TOLERANCE).any())


def canonical(W: sparse.sparray | Floats) -> sparse.csr_array:
    """Return the same matrix in float64, without stored zeros or duplicates, with the columns of each row in order.

    Args:
        W: the matrix, sparse or dense.
    """
    matrix = sparse.csr_array(W, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _asymmetry(W: sparse.csr_array) -> sparse.coo_array:
    """Return W − Wᵀ."""
    difference: sparse.coo_array = sparse.csr_array(W - W.T).tocoo()
    return difference


def _refuse_outside(W: sparse.csr_array, graph: Graph) -> None:
    """Refuse entries that are neither on the diagonal nor on an edge; some rows at a time, to save memory."""
    nodes = len(graph)
    links, diagonal = adjacency(graph), sparse.eye_array(nodes, format="csr")
    for first in range(0, nodes, _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        outside = sparse.csr_array(W[rows] - W[rows].multiply(links[rows] + diagonal[rows])).tocoo()
        _refuse(
            *(outside.row + first, outside.col, outside.data, outside.data > 0),
            "must be 0, because the graph has no such link",
        )


def _refuse(row: Integers, column: Integers, value: Floats, bad: NDArray[np.bool_], why: str) -> None:
    """Raise an error that names the first entry marked as bad, if there is one."""
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise TopologyError(
            f"entry ({row[first]}, {column[first]}) of the mixing matrix {why}; it is {float(value[first])!r}"
        )


def _degrees(nodes: int, edges: Edges) -> NDArray[np.int64]:
    """Return the degree [N] of every node."""
    return np.bincount(edges.ravel(), minlength=nodes)


def _metropolis_weights(nodes: int, edges: Edges) -> Floats:
    """Return the Metropolis-Hastings weight [m] of every edge."""
    return np.asarray(1.0 / (1 + _degrees(nodes, edges)[edges].max(axis=1)))


def _max_degree_weights(nodes: int, edges: Edges) -> Floats:
    """Return the max-degree weight [m] of every edge."""
    return np.full(len(edges), 1.0 / (1 + _degrees(nodes, edges).max(initial=0)))


def _mixing_share(laziness: float) -> float:
    """Return the share 1 − laziness that a node mixes with others."""
    if not 0 <= laziness < 1:
        raise TopologyError(f"laziness is at least 0 and below 1 (at 1 the nodes would not mix), not {laziness}")
    return 1 - laziness


def _matrix(nodes: int, edges: Edges, weights: Floats) -> sparse.csr_array:
    """Return the symmetric matrix with these weights [m] on the edges, and the rest of each row on its diagonal."""
    indices = edges.astype(sparse.get_index_dtype(maxval=max(nodes, 2 * len(edges) + nodes)))
    row, column = np.concatenate([indices, indices[:, ::-1]]).T
    links = sparse.csr_array((np.concatenate([weights, weights]), (row, column)), shape=(nodes, nodes))
    del indices, row, column
    matrix = sparse.csr_array(links + sparse.diags_array(_remainders(links), format="csr"))
    matrix.eliminate_zeros()
    return matrix


def _remainders(links: sparse.csr_array) -> Floats:
    """Return 1 less the sum of each row [N], some rows at a time: a list of all entries takes several times W."""
    result = np.empty(links.shape[0])
    for first in range(0, links.shape[0], _ROWS_AT_ONCE):
        bounds = links.indptr[first : first + _ROWS_AT_ONCE + 1].tolist()
        data = links.data[bounds[0] : bounds[-1]].tolist()
        # fsum rounds once, so rows of any length sum to 1, and the bits do not depend on the order of summation.
        result[first : first + len(bounds) - 1] = [
            1 - fsum(data[begin - bounds[0] : end - bounds[0]]) for begin, end in pairwise(bounds)
        ]
    return result
