"""A graph whose nodes are samples: features, labels, edges, and the client that holds each node."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class NodeGraph:
    """A classification task on the nodes of a graph. Nodes keep their numbers when some of them are deleted.

    Attributes:
        name: the name of the source.
        x: features, float64 [n, p].
        y: labels, int64 [n], each in 0 … classes − 1.
        edges: pairs of nodes, int64 [2, e]: each edge in both directions, without loops.
        client: the client that holds each node, int64 [n], from 0 on.
        train: the nodes whose labels are learned from, bool [n]; all others are test nodes.
        present: the nodes that are part of the graph, bool [n]; those that were deleted are not.
        classes: the number of classes.
    """

    name: str
    x: Tensor
    y: Tensor
    edges: Tensor
    client: Tensor
    train: Tensor
    present: Tensor
    classes: int

    @property
    def clients(self) -> int:
        """The number of clients."""
        return int(self.client.max()) + 1

    def without(self, nodes: Tensor) -> "NodeGraph":
        """Return the graph after nodes [n] are deleted: nodes keep their numbers, these lose all else."""
        kept = ~nodes
        edges = self.edges[:, kept[self.edges[0]] & kept[self.edges[1]]]
        x = torch.where(kept.unsqueeze(1), self.x, 0.0)
        return replace(self, x=x, edges=edges, train=self.train & kept, present=self.present & kept)

    def hops(self, nodes: Tensor, most: int) -> Tensor:
        """Return the distance [n], in edges, of all nodes from the nearest of some [n]; most + 1 if it is more."""
        distance = torch.where(nodes, 0, most + 1)
        for hop in range(1, most + 1):
            reached = torch.zeros_like(nodes)
            reached[self.edges[1, distance[self.edges[0]] == hop - 1]] = True
            distance = torch.where(reached & (distance > hop), hop, distance)
        return distance

    @property
    def between_clients(self) -> int:
        """The number of edges between nodes of different clients."""
        return int((self.client[self.edges[0]] != self.client[self.edges[1]]).sum()) // 2
