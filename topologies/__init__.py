"""Topologies: graphs, mixing matrices and mixing schedules of a network.

A topology is a networkx graph on the nodes 0..N-1. A mixing matrix gives the weights with which each node averages the
messages it receives. A mixing schedule gives the matrix of each round. This package needs only numpy, scipy and
networkx.

    graph = build("random-regular", 100, seed=0, degree=8)
    weights = mix("metropolis-hastings", graph)
    spectral_gap(weights)

To add a graph family, write a function `family(nodes, seed, *, settings)` and add it to `FAMILIES`. It returns a
networkx graph, or an `EdgeGraph` where the network may be too large for one. To add a mixing rule, write a function
`rule(graph, *, settings)` and add it to `MIXING`. Keyword-only parameters are the settings that a scenario can set.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.registry import Registry
from rewindnet.topologies import mixing
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.files import graph_from_file, largest_part
from rewindnet.topologies.graphs import deterministic, random
from rewindnet.topologies.graphs.edges import EdgeGraph, Graph, adjacency, from_edges, is_connected
from rewindnet.topologies.mixing import validate
from rewindnet.topologies.records import from_record, record
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules import LEARNING, SCHEDULES, schedule
from rewindnet.topologies.schedules.base import Schedule, Static
from rewindnet.topologies.schedules.walk import Walk
from rewindnet.topologies.spectral import spectral_gap
from rewindnet.topologies.weight_files import weights_from_file

#: The graph families by name, called as `family(nodes, seed, *, settings)`. They return a networkx graph or an
#: `EdgeGraph`.
FAMILIES: Registry[Callable[..., Graph]] = Registry(
    "topology",
    {
        "ring": deterministic.ring,
        "path": deterministic.path,
        "star": deterministic.star,
        "complete": deterministic.complete,
        "grid": deterministic.grid,
        "torus": deterministic.torus,
        "hypercube": deterministic.hypercube,
        "exponential": deterministic.exponential,
        "erdos-renyi": random.erdos_renyi,
        "watts-strogatz": random.watts_strogatz,
        "barabasi-albert": random.barabasi_albert,
        "random-regular": random.random_regular,
        "file": graph_from_file,
        "largest-part": largest_part,
    },
    TopologyError,
)

#: The mixing rules by name, called as `rule(graph, *, settings)`. They return the mixing matrix [N, N] of the graph.
MIXING: Registry[Callable[..., sparse.csr_array]] = Registry(
    "mixing rule",
    {
        "metropolis-hastings": mixing.metropolis_hastings,
        "max-degree": mixing.max_degree,
        "lazy-metropolis-hastings": mixing.lazy_metropolis_hastings,
        "lazy-max-degree": mixing.lazy_max_degree,
        "uniform": mixing.uniform,
        "file": weights_from_file,
    },
    TopologyError,
)

__all__ = [
    "FAMILIES",
    "LEARNING",
    "MIXING",
    "SCHEDULES",
    "EdgeGraph",
    "Graph",
    "Schedule",
    "Static",
    "Stream",
    "TopologyError",
    "Walk",
    "adjacency",
    "build",
    "build_light",
    "from_record",
    "mix",
    "mix_without",
    "own_nodes",
    "record",
    "rng_at",
    "schedule",
    "spectral_gap",
    "validate",
]


def build(kind: str, nodes: int, seed: int, **parameters: Any) -> nx.Graph:
    """Return a graph of a family in `FAMILIES`: simple, undirected and connected, on the nodes 0..nodes-1.

    Args:
        kind: the name of the family.
        nodes: N.
        seed: the seed of random families.
        parameters: the settings of the family.

    Raises:
        TopologyError: as `build_light`.
    """
    graph = build_light(kind, nodes, seed, **parameters)
    return from_edges(len(graph), graph.edges) if isinstance(graph, EdgeGraph) else graph


def build_light(kind: str, nodes: int, seed: int, **parameters: Any) -> Graph:
    """Return the same graph in the form in which the family gives it.

    Most families return an `EdgeGraph`, which is small enough for a million nodes.

    Args:
        kind: the name of the family.
        nodes: N.
        seed: the seed of random families.
        parameters: the settings of the family.

    Raises:
        TopologyError: if there is no such family, it does not exist for this node count or these settings, or the graph
            is not connected.
    """
    graph = FAMILIES.build(kind, nodes, seed, **parameters)
    if len(graph) != nodes:
        raise TopologyError(f"the topology '{kind}' has {len(graph)} nodes, but the network has {nodes}")
    if not is_connected(graph):
        raise TopologyError(
            f"the topology '{kind}' of {nodes} nodes is not connected; a topology needs a path between every two nodes"
        )
    return graph


def own_nodes(kind: str, settings: Mapping[str, Any]) -> int | None:
    """Return the number of nodes that a graph has by itself, as one in a file does; None if it takes any.

    Args:
        kind: the name of the family.
        settings: the settings of the family.

    Raises:
        TopologyError: if the file cannot be read.
    """
    count: Callable[..., int] | None = getattr(FAMILIES[kind], "own_nodes", None)
    return None if count is None else count(**settings)


def mix(rule: str, graph: Graph, **parameters: Any) -> sparse.csr_array:
    """Return the validated mixing matrix [N, N] of a graph by a rule in `MIXING`.

    Args:
        rule: the name of the rule.
        graph: the graph on the nodes 0..N-1.
        parameters: the settings of the rule.

    Raises:
        TopologyError: if there is no such rule or setting, or the rule does not suit the graph.
    """
    weights: sparse.csr_array = MIXING.build(rule, graph, **parameters)
    validate(weights, graph, symmetric=parameters.get("symmetric", True))
    return weights


def mix_without(rule: str, graph: nx.Graph, departed: Collection[int], **parameters: Any) -> sparse.csr_array:
    """Return the mixing matrix [N, N] of a graph after some nodes have left.

    A departed node has the weight 1 for itself. The graph that remains need not be connected.

    Args:
        rule: the name of the rule.
        graph: the graph on the nodes 0..N-1.
        departed: the nodes that have left.
        parameters: the settings of the rule.

    Raises:
        TopologyError: as `mix`.
    """
    remaining = sorted(set(graph) - set(departed))
    label = {node: index for index, node in enumerate(remaining)}
    remaining_graph = nx.empty_graph(len(remaining))
    remaining_graph.add_edges_from(
        (label[one], label[other], links)
        for one, other, links in graph.edges(data=True)
        if {one, other} <= label.keys()
    )
    remaining_matrix = mix(rule, remaining_graph, **parameters).tocoo()
    labels = np.array(remaining)
    row, column = (
        np.concatenate([labels[index], list(departed)]).astype(np.int64)
        for index in (remaining_matrix.row, remaining_matrix.col)
    )
    entries = np.concatenate([remaining_matrix.data, np.ones(len(departed))])
    return mixing.canonical(sparse.coo_array((entries, (row, column)), shape=(len(graph), len(graph))))
