"""Build the topology of a scenario: its graph and its mixing schedules, from the settings, the seed and no data."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from rewindnet import topologies
from rewindnet.clients.data.deletion import DeletionError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.settings import MixingSettings
from rewindnet.topologies import Graph, Schedule
from rewindnet.topologies.graphs.edges import edge_array, from_edges, named, node_names


@dataclass(frozen=True, eq=False)
class TopologySetup:
    """The topology of a scenario.

    Attributes:
        scenario: the scenario.
        graph: the graph; nodes may have names (the node attribute `name`).
        mixing: the schedule of mixing matrices that the network learns with.
        departed: the nodes that leave when they delete.
        remaining: the schedule after departures; `mixing` itself if no node leaves.
    """

    scenario: Scenario
    graph: Graph
    mixing: Schedule
    departed: tuple[int, ...]
    remaining: Schedule

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the nodes, in order; None if they have none."""
        return node_names(self.graph)

    def named(self, names: tuple[str, ...] | None) -> "TopologySetup":
        """Return the topology with names for its nodes, unless there are none or it has names of its own."""
        if names is None or self.names is not None:
            return self
        return replace(self, graph=named(self.graph, names))

    def linked(self, links: Sequence[tuple[int, int]]) -> "TopologySetup":
        """Return the topology with more links, mixed by the same rule; no node has left yet.

        Args:
            links: the links to add, which it does not have.

        Raises:
            TopologyError: if the mixing rule or the schedule does not fit the graph.
        """
        added = np.array(links, dtype=np.int64).reshape(-1, 2)
        graph = from_edges(len(self.graph), np.concatenate([edge_array(self.graph), added]))
        names, rule = self.names, self.scenario.topology.mixing
        graph = graph if names is None else named(graph, names)
        mixing = _schedule(self.scenario, graph, topologies.mix(rule.kind, graph, **rule.settings))
        return replace(self, graph=graph, mixing=mixing, departed=(), remaining=mixing)

    def without(self, departed: Collection[int], rule: MixingSettings | None = None) -> "TopologySetup":
        """Return the topology with the schedule that remains after some nodes have left.

        Args:
            departed: the nodes that leave.
            rule: the rule that gives the weights of the remaining network; by default that of the scenario.

        Raises:
            DeletionError: if no node remains, or the mixing rule has no weights for the remaining network.
        """
        gone = tuple(sorted(departed))
        if not gone:
            return self
        if len(gone) == self.mixing.nodes:
            raise DeletionError("deletion.departure leave: no client would remain in the network; use departure relay")
        remaining = _schedule(
            self.scenario, self.graph, _mix_without(rule or self.scenario.topology.mixing, self.graph, gone), gone
        )
        return replace(self, departed=gone, remaining=remaining)

    def to_record(self) -> dict[str, Any]:
        """Return the content of `topology.json`: the graph, its weights, and who sends to which node in each round."""
        scenario = self.scenario
        content: dict[str, Any] = {
            **topologies.record(self.graph, self.mixing.weights),
            "seed": scenario.seed,
            "schedule": {**scenario.topology.schedule.plain(), **self.mixing.recorded},
            "learning": {"kind": scenario.learning.kind, **scenario.learning.settings},
            "departed": list(self.departed),
        }
        if self.departed:
            entries = self.remaining.weights.tocoo()
            triples = zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True)
            content["remaining"] = [list(triple) for triple in triples]
        return content


def build_topology(scenario: Scenario, nodes: int, *, planning: bool = False) -> TopologySetup:
    """Build the graph, its mixing matrix and its schedule; no node has left yet.

    Args:
        scenario: the scenario.
        nodes: N, the number of clients.
        planning: keep a graph that never changes as an array of edges, which allows a million nodes.

    Raises:
        TopologyError: if the graph, the mixing rule or the schedule is not valid, or a file of theirs cannot be read.
    """
    topology = scenario.topology
    never_changes = topology.schedule.kind == "static" and scenario.learning.kind == "gossip"
    # A schedule that changes from round to round may need more of its graph than an array of edges.
    build = topologies.build_light if planning and never_changes else topologies.build
    graph = build(topology.kind, nodes, scenario.seed, **topology.settings)
    weights = topologies.mix(topology.mixing.kind, graph, **topology.mixing.settings)
    mixing = _schedule(scenario, graph, weights)
    return TopologySetup(scenario, graph, mixing, (), mixing)


def _schedule(scenario: Scenario, graph: Graph, weights: csr_array, departed: tuple[int, ...] = ()) -> Schedule:
    """Build the schedule: which links and nodes are active, and which node sends to which, in each round."""
    schedule: Schedule = scenario.topology.schedule.build(graph, weights, scenario.seed, departed)
    learning: Schedule = scenario.learning.build(schedule, scenario.seed, departed)
    return learning


def _mix_without(rule: MixingSettings, graph: Graph, departed: Collection[int]) -> csr_array:
    """Compute the mixing matrix of the graph without some nodes, by the same rule; they are left isolated.

    Raises:
        DeletionError: if the rule has no weights for the remaining network.
    """
    try:
        return topologies.mix_without(rule.kind, graph, departed, **rule.settings)
    except topologies.TopologyError as problem:
        raise DeletionError(
            f"deletion.departure leave: the mixing rule {rule.kind} has no weights for the network "
            f"that remains ({problem}); use metropolis-hastings, or departure relay"
        ) from None
