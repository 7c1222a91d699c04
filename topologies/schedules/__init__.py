"""Mixing schedules: the mixing matrix and the participating nodes of each round."""

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

#: The mixing schedules by name, called as `Kind(graph, weights, seed, departed, *, settings)`.
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
    """Every participating node takes local steps and mixes in every round.

    Args:
        schedule: the mixing schedule of the topology.
        seed: not used.
        departed: not used.
    """
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
    """One model travels from node to node: a round is a hop, and its holder takes the local steps.

    Args:
        schedule: the mixing schedule of the topology, which must be static.
        seed: the seed of the walk.
        departed: the nodes that have left, of which there must be none.
        rule: see `schedules.walk.Walk`.
        restart: see `schedules.walk.Walk`.
        start: see `schedules.walk.Walk`.

    Raises:
        TopologyError: if the schedule is not static, or a node has left.
    """
    if type(schedule) is not Static:
        raise TopologyError("a walk needs a topology that does not change; use topology.schedule=static")
    if departed:
        raise TopologyError("without a departed node the walk is another walk; use departure relay")
    return Walk(schedule.graph, schedule.weights, seed, rule=rule, restart=restart, start=start)


#: The ways to learn on a mixing schedule by name, called as `kind(schedule, seed, departed, *, settings)`. They return
#: the schedule of learning.
LEARNING: Registry[Callable[..., Schedule]] = Registry("learning", {"gossip": gossip, "walk": walk}, TopologyError)


def schedule(
    kind: str,
    graph: nx.Graph,
    weights: sparse.csr_array,
    seed: int,
    departed: tuple[int, ...] = (),
    **parameters: Any,
) -> Schedule:
    """Return a mixing schedule of a kind in `SCHEDULES`.

    Args:
        kind: the name of the schedule.
        graph: the graph on the nodes 0..N-1, with every link that can occur in a round.
        weights: the mixing matrix [N, N] of the whole graph.
        seed: the seed of the schedule's random draws.
        departed: the nodes that have left.
        parameters: the settings of the schedule.

    Raises:
        TopologyError: if there is no such kind or setting, or it does not suit the graph.
    """
    built: Schedule = SCHEDULES.build(kind, graph, weights, seed, departed, **parameters)
    return built
