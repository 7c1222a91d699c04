"""The graph convolutional network of two layers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.models.base import Change, GraphModel, propagate
from rewindnet.clients.graphs.models.training import GraphTraining


class GCN(GraphModel):
    """A graph convolutional network of two layers with ReLU between them.

    Kipf and Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017.

    Args:
        features: p, the number of features.
        classes: C.
        hidden: the width of the first layer.
        dropout: the share of the first layer's outputs that each epoch of learning leaves out.

    Raises:
        GraphError: if a number is out of its range.
    """

    layers = 2

    def __init__(self, features: int, classes: int, *, hidden: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        check_layer("gcn", hidden, dropout)
        self.dropout = dropout
        self.first = nn.Parameter(torch.zeros(features, hidden, dtype=torch.float64))
        self.first_bias = nn.Parameter(torch.zeros(hidden, dtype=torch.float64))
        self.second = nn.Parameter(torch.zeros(hidden, classes, dtype=torch.float64))
        self.second_bias = nn.Parameter(torch.zeros(classes, dtype=torch.float64))

    def draw_initial(self, training: GraphTraining) -> None:
        """Draw weights; offsets are 0."""
        with torch.no_grad():
            for layer, weights in enumerate((self.first, self.second)):
                weights.copy_(training.initial(layer, (weights.shape[0], weights.shape[1])))
            self.first_bias.zero_()
            self.second_bias.zero_()

    def forward(
        self,
        x: Tensor,
        edges: Tensor,
        dropped: Callable[[tuple[int, ...]], Tensor] | None = None,
        change: Change | None = None,
    ) -> Tensor:
        """Compute scores [n, C]."""
        h = propagate(x @ self.first, edges) + self.first_bias
        h = (h if change is None else change(0, h)).relu()
        if dropped is not None:
            h = h * dropped(tuple(h.shape))
        h = propagate(h @ self.second, edges) + self.second_bias
        return h if change is None else change(1, h)

    @property
    def last_layer(self) -> list[nn.Parameter]:
        """The parameters of the second layer."""
        return [self.second, self.second_bias]


def check_layer(kind: str, hidden: int, dropout: float) -> None:
    """Check the settings of a network of two layers.

    Raises:
        GraphError: if a number is out of its range.
    """
    if hidden < 1:
        raise GraphError(f"{kind} takes a hidden width of at least 1, not {hidden}")
    if not 0 <= dropout < 1:
        raise GraphError(f"{kind} takes a dropout of at least 0 and below 1, not {dropout}")
