"""The graph attention network of two layers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.models.base import Change, GraphModel, with_loops
from rewindnet.clients.graphs.models.gcn import check_layer
from rewindnet.clients.graphs.models.training import GraphTraining

#: The slope of the leaky ReLU of attention for negative values, as in the paper.
_SLOPE = 0.2


class GAT(GraphModel):
    """A graph attention network of two layers with ELU between them; the second layer has one head.

    Veličković et al., "Graph attention networks", ICLR 2018.

    Args:
        features: p, the number of features.
        classes: C.
        hidden: the width of the first layer, of all heads together.
        heads: the number of heads of the first layer.
        dropout: the share of the first layer's outputs that each epoch of learning leaves out.

    Raises:
        GraphError: if a number is out of its range, or the heads do not share the width.
    """

    layers = 2

    def __init__(self, features: int, classes: int, *, hidden: int = 64, heads: int = 4, dropout: float = 0.6) -> None:
        super().__init__()
        check_layer("gat", hidden, dropout)
        if heads < 1 or hidden % heads:
            raise GraphError(f"gat takes heads that share its hidden width {hidden} evenly, not {heads} heads")
        self.dropout, self._heads = dropout, heads
        self.first = nn.Parameter(torch.zeros(features, hidden, dtype=torch.float64))
        self.first_attention = nn.Parameter(torch.zeros(2 * hidden, 1, dtype=torch.float64))
        self.first_bias = nn.Parameter(torch.zeros(hidden, dtype=torch.float64))
        self.second = nn.Parameter(torch.zeros(hidden, classes, dtype=torch.float64))
        self.second_attention = nn.Parameter(torch.zeros(2 * classes, 1, dtype=torch.float64))
        self.second_bias = nn.Parameter(torch.zeros(classes, dtype=torch.float64))

    def draw_initial(self, training: GraphTraining) -> None:
        """Draw weights and attention; offsets are 0."""
        drawn = (self.first, self.second, self.first_attention, self.second_attention)
        with torch.no_grad():
            for layer, weights in enumerate(drawn):
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
        h = attend(x @ self.first, edges, self.first_attention, self._heads) + self.first_bias
        h = functional.elu(h if change is None else change(0, h))
        if dropped is not None:
            h = h * dropped(tuple(h.shape))
        h = attend(h @ self.second, edges, self.second_attention, 1) + self.second_bias
        return h if change is None else change(1, h)

    @property
    def last_layer(self) -> list[nn.Parameter]:
        """The parameters of the second layer."""
        return [self.second, self.second_attention, self.second_bias]


def attend(h: Tensor, edges: Tensor, attention: Tensor, heads: int) -> Tensor:
    """Average representations over the neighbours of every node, and itself, by attention (eq. 1 to 5 of the paper).

    Args:
        h: [n, q], the heads beside each other.
        edges: [2, e].
        attention: [2·q, 1]: for each head what multiplies the receiving node, then the sending one.
        heads: the number of heads.

    Returns:
        [n, q].
    """
    n = len(h)
    source, target = with_loops(edges, n)
    split = h.reshape(n, heads, -1)
    receiving, sending = attention.reshape(2, heads, -1)
    scores = (split * receiving).sum(2)[target] + (split * sending).sum(2)[source]
    scores = functional.leaky_relu(scores, _SLOPE)
    # The largest score changes no quotient; without it, exponentials overflow.
    at = target.unsqueeze(1).expand(-1, heads)
    largest = torch.full((n, heads), -torch.inf, dtype=h.dtype).scatter_reduce(0, at, scores.detach(), "amax")
    weights = (scores - largest[target]).exp()
    total = torch.zeros(n, heads, dtype=h.dtype).index_add(0, target, weights)
    share = (weights / total[target]).unsqueeze(2)
    return torch.zeros_like(split).index_add(0, target, share * split[source]).reshape(n, -1)
