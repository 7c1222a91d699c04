"""A graph family."""

import networkx as nx

from rewindnet.topologies import TopologyError


def wheel(nodes: int, seed: int, *, spokes: int = 2) -> nx.Graph:
    """Link the nodes 1 … N−1 in a circle, and every so many of them to node 0: a topology of a test."""
    if nodes < 5 or spokes < 1:
        raise TopologyError(f"a wheel has at least 5 nodes and a spoke to every so many of them, not {nodes}, {spokes}")
    graph = nx.empty_graph(nodes)
    nx.add_cycle(graph, range(1, nodes))
    graph.add_edges_from((0, node) for node in range(1, nodes, spokes))
    return graph
