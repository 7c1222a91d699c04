"""The linear graph network: features that are propagated, and ridge regression on them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.models.base import Change, GraphModel, propagate
from rewindnet.clients.graphs.models.training import GraphTraining
from rewindnet.clients.graphs.node_graph import NodeGraph


class SGC(GraphModel):
    """A linear graph network: features propagated over two hops, and ridge regression on them in closed form.

    The loss is ½·‖score − one-hot label‖², and learning solves for its minimum with the penalty ridge/2·‖θ‖²; a
    constant 1 beside the features of every node makes up for an offset. Epochs, step size and weight decay do not
    matter to it.

    Wu et al., "Simplifying graph convolutional networks", ICML 2019.

    Args:
        features: p, the number of features.
        classes: C.
        ridge: λ, above 0.

    Raises:
        GraphError: if λ is not above 0.
    """

    layers = 2

    def __init__(self, features: int, classes: int, *, ridge: float = 1.0) -> None:
        super().__init__()
        if ridge <= 0:
            raise GraphError(f"sgc takes a ridge above 0, not {ridge}")
        self.ridge, self.classes = ridge, classes
        self.weights = nn.Parameter(torch.zeros(features + 1, classes, dtype=torch.float64))

    def draw_initial(self, training: GraphTraining) -> None:
        """Set the weights to 0."""
        with torch.no_grad():
            self.weights.zero_()

    def design(self, x: Tensor, edges: Tensor) -> Tensor:
        """Return the propagated features [n, p + 1], the last of which is 1."""
        h = propagate(propagate(x, edges), edges)
        return torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype)], dim=1)

    def targets(self, y: Tensor) -> Tensor:
        """Return labels [m] as rows [m, C] with a 1 at the class."""
        return functional.one_hot(y, self.classes).to(torch.float64)

    def forward(
        self,
        x: Tensor,
        edges: Tensor,
        dropped: Callable[[tuple[int, ...]], Tensor] | None = None,
        change: Change | None = None,
    ) -> Tensor:
        """Compute scores [n, C]."""
        scores = self.design(x, edges) @ self.weights
        return scores if change is None else change(self.layers - 1, scores)

    def losses(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute half the squared distances [m] of scores [m, C] from one-hot labels."""
        return 0.5 * (scores - self.targets(y)).square().sum(1)

    def objective(self, graph: NodeGraph, training: GraphTraining) -> Tensor:
        """Compute what ridge regression minimises."""
        fit = self.losses(self.scores(graph)[graph.train], graph.y[graph.train]).sum()
        return fit + 0.5 * self.ridge * self.weights.square().sum()

    def learn(self, graph: NodeGraph, training: GraphTraining) -> int:
        """Solve the ridge regression; that takes one sum over the training nodes."""
        design = self.design(graph.x, graph.edges)[graph.train]
        gram = design.T @ design + self.ridge * torch.eye(design.shape[1], dtype=design.dtype)
        with torch.no_grad():
            self.weights.copy_(torch.linalg.solve(gram, design.T @ self.targets(graph.y[graph.train])))
        return 1
