"""Where the nodes of a network are drawn."""

import warnings

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags_array, eye_array
from scipy.sparse.linalg import lobpcg

from rewindnet.topologies import FAMILIES
from rewindnet.topologies.graphs.shapes import shape_of

#: The largest number of nodes for a layout whose time is cubic in the number of nodes.
_SMALL = 80
#: The largest number of pairs of nodes times rounds of forces; they take some seconds.
_FORCES = 4_000_000


def layout(graph: nx.Graph, kind: str) -> NDArray[np.float64]:
    """Compute the positions [N, 2] of the nodes of a graph of this family."""
    N, shape = len(graph), shape_of(FAMILIES[kind]) if kind in FAMILIES else None
    if shape == "circle":
        where = nx.circular_layout(graph)
    elif shape == "hub":
        hub = max(graph, key=graph.degree)
        where = nx.shell_layout(graph, [[hub], [node for node in graph if node != hub]])
    elif N <= _SMALL:
        where = nx.kamada_kawai_layout(graph)
    else:
        return _large_layout(graph)
    return np.array([where[node] for node in range(N)], dtype=np.float64)


def _large_layout(graph: nx.Graph) -> NDArray[np.float64]:
    """Compute positions from the slowest modes of averaging, in which a torus or a small world has its own shape.

    As many rounds of forces as take seconds spread the nodes; where the network is too large for any, half of each
    coordinate is its rank, so that no two parts are drawn on one spot.
    """
    N = len(graph)
    adjacency = nx.to_scipy_sparse_array(graph, nodelist=range(N), dtype=float, weight=None)
    scale = diags_array(1 / np.sqrt(np.maximum(adjacency.sum(axis=1), 1)))
    start = np.random.default_rng(0).normal(size=(N, 3))
    with warnings.catch_warnings():
        # Modes that are only nearly found are good enough for a picture.
        warnings.simplefilter("ignore", UserWarning)
        _, modes = lobpcg(scale @ adjacency @ scale + eye_array(N), start, largest=True, maxiter=300, tol=1e-4)
    places = scale @ modes[:, 1:]
    places /= np.abs(places).max(axis=0)
    rounds = min(100, int(_FORCES // N**2))
    if not rounds:
        ranks = places.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
        return np.asarray(places / 2 + ranks / N - 0.5)
    begin = dict(enumerate(places))
    where = nx.spring_layout(graph, pos=begin, seed=0, iterations=rounds, k=1.2 / np.sqrt(N), method="force")
    return np.array([where[node] for node in range(N)], dtype=np.float64)
