"""Topologies: who talks to whom, and with which weights.

A topology is a networkx graph on the nodes 0..N-1; a mixing matrix says how each node averages what it hears;
a schedule says which mixing matrix is used in which round. The room needs only numpy, scipy and networkx.

    graph = build("random-regular", 100, seed=0, degree=8)
    weights = mix("metropolis-hastings", graph)
    spectral_gap(weights)

A new family is a function `family(nodes, seed, *, parameters)` and a line in `FAMILIES`: it gives a networkx graph, or
an `EdgeGraph` where the network may be too large for one. A new rule is a
function `rule(graph, *, parameters)` and a line in `MIXING`. Keyword-only parameters are what a scenario
sets.
"""

from collections.abc import Callable, Collection, Mapping
from inspect import Parameter, signature
from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.topologies import mixing
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.files import graph_from_file
from rewindnet.topologies.graphs import deterministic as graphs
from rewindnet.topologies.graphs import random as random_graphs
from rewindnet.topologies.graphs.edges import EdgeGraph, Graph, adjacency, from_edges, is_connected
from rewindnet.topologies.mixing import validate
from rewindnet.topologies.records import from_record, record
from rewindnet.topologies.rng import Stream, rng_at
from rewindnet.topologies.schedules import LEARNING, SCHEDULES, schedule
from rewindnet.topologies.schedules.base import Schedule, Static
from rewindnet.topologies.schedules.walk import Walk
from rewindnet.topologies.spectral import spectral_gap
from rewindnet.topologies.weight_files import weights_from_file

FAMILIES: dict[str, Callable[..., Graph]] = {
    "ring": graphs.ring,
    "path": graphs.path,
    "star": graphs.star,
    "complete": graphs.complete,
    "grid": graphs.grid,
    "torus": graphs.torus,
    "hypercube": graphs.hypercube,
    "exponential": graphs.exponential,
    "erdos-renyi": random_graphs.erdos_renyi,
    "watts-strogatz": random_graphs.watts_strogatz,
    "barabasi-albert": random_graphs.barabasi_albert,
    "random-regular": random_graphs.random_regular,
    "file": graph_from_file,
}

MIXING: dict[str, Callable[..., sparse.csr_array]] = {
    "metropolis-hastings": mixing.metropolis_hastings,
    "max-degree": mixing.max_degree,
    "lazy-metropolis-hastings": mixing.lazy_metropolis_hastings,
    "lazy-max-degree": mixing.lazy_max_degree,
    "uniform": mixing.uniform,
    "file": weights_from_file,
}

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
    graph = _entry("topology", FAMILIES, kind, parameters)(nodes, seed, **parameters)
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
    weights: sparse.csr_array = _entry("mixing rule", MIXING, rule, parameters)(graph, **parameters)
    validate(weights, graph, symmetric=parameters.get("symmetric", True))
    return weights


def mix_without(rule: str, graph: nx.Graph, left: Collection[int], **parameters: Any) -> sparse.csr_array:
    """The mixing matrix [N, N] of what remains of a graph once some nodes have left, who are then on their own.

    What remains need not be connected.

    Raises:
        TopologyError: as `mix`.
    """
    stay = [node for node in graph if node not in set(left)]
    rest = nx.convert_node_labels_to_integers(graph.subgraph(stay), ordering="sorted")
    inner = mix(rule, rest, **parameters).tocoo()
    places = np.array(stay)
    row, column = (np.concatenate([places[at], list(left)]).astype(np.int64) for at in (inner.row, inner.col))
    entries = np.concatenate([inner.data, np.ones(len(left))])
    return mixing.canonical(sparse.coo_array((entries, (row, column)), shape=(len(graph), len(graph))))


def _entry(
    what: str, registry: Mapping[str, Callable[..., Any]], key: str, parameters: Mapping[str, Any]
) -> Callable[..., Any]:
    """The registered function, once its keyword-only parameters have been seen to fit."""
    if key not in registry:
        raise TopologyError(f"there is no {what} '{key}'; choose one of {', '.join(registry)}")
    known = {
        name: parameter.default
        for name, parameter in signature(registry[key]).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }
    for name in parameters:
        if name not in known:
            raise TopologyError(f"the {what} '{key}' has no parameter '{name}'; it takes {', '.join(known) or 'none'}")
    for name, default in known.items():
        if default is Parameter.empty and name not in parameters:
            raise TopologyError(f"the {what} '{key}' needs the parameter '{name}'")
    return registry[key]
