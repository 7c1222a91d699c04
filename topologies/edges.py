"""Edges: what every graph of this room is checked against, and built from."""

from itertools import chain

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from topologies.errors import TopologyError

Edges = NDArray[np.int64]


def from_edges(nodes: int, edges: Edges) -> nx.Graph:
    """The graph on 0..nodes-1 with these edges, an integer array [m, 2]."""
    graph = nx.empty_graph(nodes)
    graph.add_edges_from(edges.tolist())
    return graph


def edge_array(graph: nx.Graph) -> Edges:
    """The edges as an integer array [m, 2], each edge once.

    Raises:
        TopologyError: if the graph is directed, a multigraph, has self-loops, or nodes other than 0..N-1 in
        order.
    """
    if graph.is_directed() or graph.is_multigraph():
        raise TopologyError("a topology is an undirected graph without parallel edges")
    if list(graph) != list(range(len(graph))):
        raise TopologyError(f"the {len(graph)} nodes of a topology are numbered 0 to {len(graph) - 1}, in order")
    flat = np.fromiter(chain.from_iterable(graph.edges()), np.int64, 2 * graph.number_of_edges())
    edges = flat.reshape(-1, 2)
    loops = edges[edges[:, 0] == edges[:, 1], 0]
    if loops.size:
        raise TopologyError(f"a topology has no self-loops; node {loops[0]} is linked to itself")
    return edges


def is_connected(graph: nx.Graph) -> bool:
    """Whether every node can reach every other."""
    edges = edge_array(graph)
    ones = np.ones(len(edges), dtype=np.int8)
    adjacency = sparse.coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(len(graph), len(graph)))
    return bool(csgraph.connected_components(adjacency, directed=False, return_labels=False) == 1)


def require_nodes(family: str, nodes: int, least: int) -> None:
    """Refuses a node count below the least that a family has."""
    article = "an" if family[0] in "aeiou" else "a"
    if nodes < least:
        raise TopologyError(f"{article} {family} has at least {least} nodes, not {nodes}")
