"""The edges around some nodes of a graph."""

import torch
from torch import Tensor

from rewindnet.clients.graphs.node_graph import NodeGraph


def edges_around(graph: NodeGraph, nodes: Tensor, hops: int) -> set[tuple[int, int]]:
    """Return the edges of the union of the ego graphs of some nodes [n], each edge as a pair, the smaller number first.

    An ego graph has the nodes within some hops of one node, and the edges among them.
    """
    roots = torch.nonzero(nodes).flatten()
    source, target = graph.edges
    near = torch.zeros(len(roots), len(nodes), dtype=torch.int32)
    near[torch.arange(len(roots)), roots] = 1
    for _ in range(hops):
        near = near.index_add(1, target, near[:, source]).clamp_(max=1)
    inside = ((near[:, source] & near[:, target]) != 0).any(0) & (source < target)
    return set(map(tuple, graph.edges[:, inside].T.tolist()))
