"""Topologies: who talks to whom, and with which weights.

A topology is a networkx graph on the nodes 0..N-1; a mixing matrix says how each node averages what it hears;
a schedule says which mixing matrix is used in which round. All of it needs only numpy, scipy and networkx.

    graph = build("random-regular", 100, seed=0, degree=8)
    weights = mix("metropolis-hastings", graph)
    spectral_gap(weights)

A new family is a function `family(nodes, seed, *, parameters)` and a line in `FAMILIES`: it gives a networkx graph, or
an `EdgeGraph` where the network may be too large for one. A new rule is a
function `rule(graph, *, parameters)` and a line in `MIXING`. Keyword-only parameters are what a scenario
sets.
"""

from collections.abc import Callable, Collection
from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.registry import Registry
from rewindnet.topologies import mixing
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.files import graph_from_file
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

#: Called as `family(nodes, seed, *, settings)`: a networkx graph, or its edges alone as an `EdgeGraph`.
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
    },
    TopologyError,
)

#: Called as `rule(graph, *, settings)`: the mixing matrix [N, N] of the graph.
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
    "record",
    "rng_at",
    "schedule",
    "spectral_gap",
    "validate",
]


def build(kind: str, nodes: int, seed: int, **parameters: Any) -> nx.Graph:
    """A graph of a family of `FAMILIES`: simple, undirected, connected, on the nodes 0..nodes-1.

    Raises:
        TopologyError: as `build_light`.
    """
    graph = build_light(kind, nodes, seed, **parameters)
    return from_edges(len(graph), graph.edges) if isinstance(graph, EdgeGraph) else graph


def build_light(kind: str, nodes: int, seed: int, **parameters: Any) -> Graph:
    """The same graph as the family gives it: most give no more than its edges, for which a million nodes are few.

    Raises:
        TopologyError: if there is no such family, it has no such node count or parameters, or the graph is
            not connected.
    """
    graph = FAMILIES.build(kind, nodes, seed, **parameters)
    if len(graph) != nodes:
        raise TopologyError(f"the topology '{kind}' has {len(graph)} nodes, but {nodes} are asked for")
    if not is_connected(graph):
        raise TopologyError(
            f"the topology '{kind}' of {nodes} nodes is not connected; a topology must link every "
            "node to every other, through others if need be"
        )
    return graph


def mix(rule: str, graph: Graph, **parameters: Any) -> sparse.csr_array:
    """The mixing matrix [N, N] of a graph by a rule of `MIXING`, validated.

    Raises:
        TopologyError: if there is no such rule or parameter, or the rule does not suit the graph.
    """
    weights: sparse.csr_array = MIXING.build(rule, graph, **parameters)
    validate(weights, graph, symmetric=parameters.get("symmetric", True))
    return weights


def mix_without(rule: str, graph: nx.Graph, departed: Collection[int], **parameters: Any) -> sparse.csr_array:
    """The mixing matrix [N, N] of what remains of a graph once some nodes have left, who are then on their own.

    What remains need not be connected.

    Raises:
        TopologyError: as `mix`.
    """
    stay = [node for node in graph if node not in set(departed)]
    rest = nx.convert_node_labels_to_integers(graph.subgraph(stay), ordering="sorted")
    inner = mix(rule, rest, **parameters).tocoo()
    places = np.array(stay)
    row, column = (np.concatenate([places[at], list(departed)]).astype(np.int64) for at in (inner.row, inner.col))
    entries = np.concatenate([inner.data, np.ones(len(departed))])
    return mixing.canonical(sparse.coo_array((entries, (row, column)), shape=(len(graph), len(graph))))
