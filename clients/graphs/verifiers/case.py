"""What a verifier is given: snapshots of a model before and after unlearning, and of a retrained one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor

from rewindnet.clients.graphs.measures.saliency import saliency
from rewindnet.clients.graphs.models.base import GraphModel
from rewindnet.clients.graphs.node_graph import NodeGraph

#: The distance in hops from which nodes are told apart no further.
FURTHEST = 3


@dataclass(frozen=True)
class Snapshot:
    """What a model makes of a graph. Rows are nodes by their numbers, which no deletion changes.

    Attributes:
        graph: the graph.
        logs: log-probabilities [n, C].
        saliency: g [n].
    """

    graph: NodeGraph
    logs: Tensor
    saliency: Tensor

    @property
    def confidence(self) -> Tensor:
        """The probability [n] that the model gives the label of each node."""
        return self.logs.gather(1, self.graph.y.unsqueeze(1)).squeeze(1).exp()

    @property
    def predicted(self) -> Tensor:
        """The class [n] that the model gives each node."""
        return self.logs.argmax(1)

    def published_by(self, client: int) -> str:
        """Return the sha256 of the saliency and the log-probabilities of a client's nodes.

        That is what a client publishes before it knows who asks for a proof: other clients can check that it shows the
        same numbers later, and see no features.
        """
        own = self.graph.client == client
        return sha256(self.saliency[own].numpy().tobytes() + self.logs[own].numpy().tobytes()).hexdigest()


def snapshot(model: GraphModel, graph: NodeGraph) -> Snapshot:
    """Return what a model makes of a graph."""
    with torch.no_grad():
        logs = model.scores(graph).log_softmax(1)
    return Snapshot(graph, logs, saliency(model, graph))


@dataclass(frozen=True)
class Case:
    """An unlearned model to look at, and what it is compared with.

    Attributes:
        forget: the forgotten nodes, bool [n].
        before: the learned model on the whole graph.
        after: the unlearned model on the graph that its method leaves.
        queried: the unlearned model on the whole graph, as it was before.
        reference: the retrained model on the whole graph, as it was before.
    """

    forget: Tensor
    before: Snapshot
    after: Snapshot
    queried: Snapshot
    reference: Snapshot

    @cached_property
    def hops(self) -> Tensor:
        """The distance [n] of every node from the nearest forgotten one in the whole graph; 3 for 3 and more."""
        return self.before.graph.hops(self.forget, FURTHEST - 1)

    def groups(self) -> Iterator[tuple[int, int, Tensor]]:
        """Return the nodes of each client at each distance: client, hops and bool [n]; empty groups are left out."""
        client = self.before.graph.client
        for number in range(self.before.graph.clients):
            for hop in range(FURTHEST + 1):
                nodes = (client == number) & (self.hops == hop)
                if nodes.any():
                    yield number, hop, nodes


@dataclass(frozen=True)
class Figure:
    """A number that a verifier gives, and how tables show it.

    Attributes:
        name: its name in records.
        heading: its name in tables, with the unit.
        value: the number; None where it is not defined.
        digits: after the decimal point, in tables.
        factor: by which tables multiply it.
    """

    name: str
    heading: str
    value: float | int | None
    digits: int = 3
    factor: float = 1.0


@dataclass(frozen=True)
class Evidence:
    """What a verifier has found; it certifies nothing.

    Attributes:
        figures: the numbers about the whole network.
        by_node: measures [n] that are averaged over the nodes of each client at each distance, by name.
        notes: sentences that its numbers must not be read without.
    """

    figures: Sequence[Figure]
    by_node: Mapping[str, Tensor]
    notes: Sequence[str] = ()

    def by_group(self, case: Case) -> Sequence[Mapping[str, float | int]]:
        """Return the means over each group of nodes: client, hops, number of nodes, and each measure."""
        return [
            {
                "client": client,
                "hops": hop,
                "nodes": int(nodes.sum()),
                **{name: float(values[nodes].mean()) for name, values in self.by_node.items()},
            }
            for client, hop, nodes in case.groups()
        ]
