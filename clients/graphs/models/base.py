"""The base of models of nodes: scores from features and edges, a loss, and learning with full batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewindnet.clients.graphs.models.steps import Steps
from rewindnet.clients.graphs.models.training import GraphTraining
from rewindnet.clients.graphs.node_graph import NodeGraph

#: What a layer gives is replaced by this function of the layer's number, from 0, and of the representation [n, width].
Change = Callable[[int, Tensor], Tensor]


class GraphModel(nn.Module, ABC):
    """A model that gives every node of a graph a score for each class.

    Attributes:
        layers: the number of layers, each of which reads the neighbours of a node once.
        dropout: the share of the first layer's outputs that each epoch of learning leaves out.
    """

    layers: int
    dropout: float = 0.0

    @abstractmethod
    def draw_initial(self, training: GraphTraining) -> None:
        """Set the parameters that learning begins with."""

    @abstractmethod
    def forward(
        self,
        x: Tensor,
        edges: Tensor,
        dropped: Callable[[tuple[int, ...]], Tensor] | None = None,
        change: Change | None = None,
    ) -> Tensor:
        """Compute scores [n, C].

        Args:
            x: features [n, p].
            edges: [2, e], both directions.
            dropped: the factors of dropout of a representation of that shape; None for none.
            change: what becomes of the output of each layer, before the next; None leaves it.
        """

    def scores(self, graph: NodeGraph) -> Tensor:
        """Compute the scores [n, C] of all nodes."""
        scores: Tensor = self(graph.x, graph.edges)
        return scores

    def losses(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute the losses [m] of nodes with scores [m, C] and labels y [m]."""
        return functional.cross_entropy(scores, y, reduction="none")

    def objective(self, graph: NodeGraph, training: GraphTraining) -> Tensor:
        """Compute the sum of the losses of the training nodes, with the penalty: what learning minimises, times m."""
        fit = self.losses(self.scores(graph)[graph.train], graph.y[graph.train]).sum()
        norm = torch.stack([(parameter * parameter).sum() for parameter in self.parameters()]).sum()
        return fit + 0.5 * training.weight_decay * int(graph.train.sum()) * norm

    def learn(self, graph: NodeGraph, training: GraphTraining) -> int:
        """Learn from the initial model; return how many gradients of full batches that took."""
        self.draw_initial(training)
        return self.descend(graph, training, range(training.epochs))

    def descend(
        self,
        graph: NodeGraph,
        training: GraphTraining,
        epochs: range,
        parameters: Iterable[nn.Parameter] | None = None,
    ) -> int:
        """Take a step of Adam in each epoch, from the present parameters.

        Args:
            graph: the graph to learn from.
            training: step size, penalty and draws.
            epochs: their numbers, which are the addresses of dropout.
            parameters: those that change; all by default.

        Returns:
            How many gradients of full batches that took.
        """
        changing = list(self.parameters() if parameters is None else parameters)
        steps = Steps(changing, training.step_size, training.weight_decay)
        share = self.dropout
        for epoch in epochs:
            dropped = (lambda shape, at=epoch: training.dropout(at, shape, share)) if share else None
            scores = self(graph.x, graph.edges, dropped)
            steps.take(self.losses(scores[graph.train], graph.y[graph.train]).mean())
        return len(epochs)

    @property
    def last_layer(self) -> list[nn.Parameter]:
        """The parameters of the last layer."""
        return list(self.parameters())


def with_loops(edges: Tensor, n: int) -> Tensor:
    """Return the edges [2, e + n] with a loop at every node."""
    return torch.cat([edges, torch.arange(n).repeat(2, 1)], dim=1)


def propagate(h: Tensor, edges: Tensor) -> Tensor:
    """Multiply representations [n, q] by D^(-1/2) (A + I) D^(-1/2), D the degrees with loops.

    Kipf and Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017, eq. 2.
    """
    source, target = with_loops(edges, len(h))
    scale = torch.bincount(target, minlength=len(h)).to(h.dtype).rsqrt()
    return torch.zeros_like(h).index_add(0, target, (scale[source] * scale[target]).unsqueeze(1) * h[source])
