"""Schedules: which mixing matrix is used in which round, and who of the network is awake. The kinds there are."""

from collections.abc import Callable
from typing import Any, Literal

import networkx as nx
from scipy import sparse

from rewindnet.registry import Registry
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.schedules.base import Schedule, Static
from rewindnet.topologies.schedules.failures import Asynchronous, LinkFailures, NodeSleep
from rewindnet.topologies.schedules.matchings import Matchings, OnePeerExponential
from rewindnet.topologies.schedules.sequence import Graphs
from rewindnet.topologies.schedules.walk import Walk

#: Called as `Kind(graph, weights, seed, departed, *, settings)`.
SCHEDULES: Registry[Callable[..., Schedule]] = Registry(
    "schedule",
    {
        "static": Static,
        "link-failures": LinkFailures,
        "node-sleep": NodeSleep,
        "matchings": Matchings,
        "one-peer-exponential": OnePeerExponential,
        "asynchronous": Asynchronous,
        "graphs": Graphs,
    },
    TopologyError,
)


def gossip(schedule: Schedule, seed: int, departed: tuple[int, ...] = ()) -> Schedule:
    """Every node that is awake steps and mixes in every round."""
    return schedule


def walk(
    schedule: Schedule,
    seed: int,
    departed: tuple[int, ...] = (),
    *,
    rule: Literal["uniform", "metropolis", "mixing"] = "metropolis",
    restart: float = 0.0,
    start: int | None = None,
) -> Schedule:
    """One model travels from node to node; a round is a hop, and whoever holds it steps. See `schedules.walk`.

    Raises:
        TopologyError: if the schedule changes, or somebody has left.
    """
    if type(schedule) is not Static:
        raise TopologyError("a walk goes over a topology that stays as it is; use topology.schedule=static")
    if departed:
        raise TopologyError("without one of its holders a walk is another walk; use departure relay")
    return Walk(schedule.graph, schedule.weights, seed, rule=rule, restart=restart, start=start)


#: How a network learns on its schedule: called as `kind(schedule, seed, departed, *, settings)`.
LEARNING: Registry[Callable[..., Schedule]] = Registry("learning", {"gossip": gossip, "walk": walk}, TopologyError)


def schedule(
    kind: str,
    graph: nx.Graph,
    weights: sparse.csr_array,
    seed: int,
    departed: tuple[int, ...] = (),
    **parameters: Any,
) -> Schedule:
    """A schedule of a kind of `SCHEDULES`.

    Args:
        kind: of the schedule.
        graph: on the nodes 0..N-1, with every link that there may be.
        weights: the mixing matrix [N, N] of the whole graph.
        seed: of its coins.
        departed: nodes that have left.
        parameters: of the kind.

    Raises:
        TopologyError: if there is no such kind or parameter, or it does not suit the graph.
    """
    built: Schedule = SCHEDULES.build(kind, graph, weights, seed, departed, **parameters)
    return built
