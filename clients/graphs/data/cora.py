"""Cora as a graph: papers, the words they use, and their citations."""

from pathlib import Path

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data import DataError
from rewindnet.clients.data.cora import cora as papers_of
from rewindnet.clients.data.cora import graph_file, read_citations
from rewindnet.clients.graphs.data.build import node_graph
from rewindnet.clients.graphs.node_graph import NodeGraph


def cora(root: Path | None, seed: int, *, clients: int = 4, train: float = 0.6) -> NodeGraph:
    """Cora: 2,708 papers of 7 subjects and their citations; communities of papers are shared out among clients.

    Communities are those of Louvain's method; each, from the largest on, goes to the client with the fewest papers.

    Args:
        root: the data folder, as for the data source cora.
        seed: of the draws.
        clients: the number of clients.
        train: the share of papers whose labels are learned from; all others are test nodes.

    Raises:
        DataError: if a file is missing or damaged, or a number is out of its range.

    References:
        Yang, Cohen and Salakhutdinov, "Revisiting semi-supervised learning with graph embeddings", ICML 2016.
        Blondel et al., "Fast unfolding of communities in large networks", J. Stat. Mech. (2008).
    """
    papers = papers_of(root, seed)
    x, y = np.concatenate([papers.x, papers.test_x]), np.concatenate([papers.y, papers.test_y])
    if not 1 <= clients <= len(x):
        raise DataError(f"cora has {len(x)} papers for at least 1 client and at most as many, not {clients}")
    pairs = read_citations(graph_file(root), len(x))
    client = _shared_out(pairs, len(x), clients, seed)
    return node_graph("cora", x=x, y=y, pairs=pairs, client=client, classes=7, train=train, seed=seed)


def _shared_out(pairs: NDArray[np.int64], n: int, clients: int, seed: int) -> NDArray[np.int64]:
    """Return the client [n] of every paper."""
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(pairs.tolist())
    communities = sorted(nx.community.louvain_communities(graph, seed=seed), key=lambda one: (-len(one), min(one)))
    client, sizes = np.zeros(n, dtype=np.int64), [0] * clients
    for community in communities:
        fewest = sizes.index(min(sizes))
        client[list(community)] = fewest
        sizes[fewest] += len(community)
    return client
