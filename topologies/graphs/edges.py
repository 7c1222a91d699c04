"""Edge arrays: the form in which graphs are built, checked and compared."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TypeAlias

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from rewindnet.topologies.errors import TopologyError

Edges = NDArray[np.int64]

#: The edges of one node alone.
NO_EDGES: Edges = np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class EdgeGraph:
    """A graph given by its edges alone, because a networkx graph of a million nodes takes gigabytes.

    Attributes:
        nodes: N; the nodes are numbered 0..N-1.
        edges: [m, 2], each edge once, without self-loops.
        names: the names of the nodes, in order; None if they have none.
    """

    nodes: int
    edges: Edges
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return N."""
        return self.nodes

    @cached_property
    def connected(self) -> bool:
        """Whether every node can reach every other."""
        first, second = self.edges.astype(np.int32).T
        links = sparse.coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(self.nodes, self.nodes))
        return bool(csgraph.connected_components(links, directed=False, return_labels=False) == 1)


Graph: TypeAlias = nx.Graph | EdgeGraph


def node_names(graph: Graph) -> tuple[str, ...] | None:
    """Return the names of the nodes of a graph, in order; None if not all of them have one.

    Args:
        graph: the graph; a networkx graph has them in the node attribute `name`.
    """
    if isinstance(graph, EdgeGraph):
        return graph.names
    names = nx.get_node_attributes(graph, "name")
    return tuple(str(names[node]) for node in graph) if len(graph) == len(names) else None


def named(graph: Graph, names: tuple[str, ...]) -> Graph:
    """Return a graph with names for its nodes.

    Args:
        graph: the graph on the nodes 0..N-1.
        names: N names.
    """
    if isinstance(graph, EdgeGraph):
        return replace(graph, names=names)
    copy = graph.copy()
    nx.set_node_attributes(copy, dict(enumerate(names)), "name")
    return copy


def from_edges(nodes: int, edges: Edges) -> nx.Graph:
    """Return the networkx graph on the nodes 0..nodes-1 with these edges.

    Args:
        nodes: N.
        edges: [m, 2].
    """
    graph = nx.empty_graph(nodes)
    graph.add_edges_from(edges.tolist())
    return graph


def edge_array(graph: Graph) -> Edges:
    """Return the edges of a graph as an integer array [m, 2], each edge once.

    Args:
        graph: the graph.

    Raises:
        TopologyError: if the graph is directed, a multigraph, has self-loops, or its nodes are not 0..N-1 in order.
    """
    if isinstance(graph, EdgeGraph):
        return graph.edges
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


def is_connected(graph: Graph) -> bool:
    """Return whether every node can reach every other.

    Args:
        graph: the graph.
    """
    return (graph if isinstance(graph, EdgeGraph) else EdgeGraph(len(graph), edge_array(graph))).connected


def adjacency(graph: Graph) -> sparse.csr_array:
    """Return the adjacency matrix [N, N]: an entry 1 for each edge in each of its two directions.

    Args:
        graph: the graph.
    """
    edges = edge_array(graph).astype(np.int32)
    row, column = np.concatenate([edges, edges[:, ::-1]]).T
    return sparse.csr_array((np.ones(len(row)), (row, column)), shape=(len(graph), len(graph)))


def in_sorted(keys: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the keys occur in a sorted array; faster than `np.isin`, which sorts both.

    Args:
        keys: the keys.
        ascending: the sorted array.
    """
    if not ascending.size:
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(ascending, keys), ascending.size - 1)
    return np.asarray(ascending[places] == keys)


def require_nodes(family: str, nodes: int, least: int) -> None:
    """Refuse a node count below the least that a family has.

    Args:
        family: the name of the family.
        nodes: the node count.
        least: the least node count.

    Raises:
        TopologyError: if there are fewer nodes.
    """
    article = "an" if family[0] in "aeiou" else "a"
    if nodes < least:
        advice = "; one node alone is a complete graph, a path or a star" if nodes == 1 else ""
        raise TopologyError(f"{article} {family} has at least {least} node{'s' * (least > 1)}, not {nodes}{advice}")
