"""Build the topology of a scenario: its graph and its mixing schedules, from the settings, the seed and no data."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
from scipy.sparse import csr_array

from rewindnet import topologies
from rewindnet.clients.data.deletion import DeletionError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.topologies import Graph, Schedule


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
        """The names of the nodes in a file, in their order; None if they are 0 … N − 1."""
        names = nx.get_node_attributes(self.graph, "name") if isinstance(self.graph, nx.Graph) else {}
        return tuple(names[node] for node in range(len(names))) or None

    def without(self, departed: Collection[int]) -> "TopologySetup":
        """Return the topology with the schedule that remains after some nodes have left.

        Args:
            departed: the nodes that leave.

        Raises:
            DeletionError: if the mixing rule has no weights for the remaining network.
        """
        gone = tuple(sorted(departed))
        if not gone:
            return self
        remaining = _schedule(self.scenario, self.graph, _mix_without(self.scenario, self.graph, gone), gone)
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


def _mix_without(scenario: Scenario, graph: Graph, departed: Collection[int]) -> csr_array:
    """Compute the mixing matrix of the graph without some nodes, by the same rule; they are left isolated.

    Raises:
        DeletionError: if the rule has no weights for the remaining network.
    """
    rule = scenario.topology.mixing
    try:
        return topologies.mix_without(rule.kind, graph, departed, **rule.settings)
    except topologies.TopologyError as problem:
        raise DeletionError(
            f"deletion.departure leave: the mixing rule {rule.kind} has no weights for the network "
            f"that remains ({problem}); use metropolis-hastings, or departure relay"
        ) from None
