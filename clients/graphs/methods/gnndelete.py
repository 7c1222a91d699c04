"""GNNDelete: a frozen network, with a matrix after each layer that moves the nodes near what is deleted."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.methods.base import Learned, Unlearned
from rewindnet.clients.graphs.models.base import Change, GraphModel
from rewindnet.clients.graphs.models.steps import Steps
from rewindnet.clients.graphs.models.training import GraphTraining
from rewindnet.clients.graphs.node_graph import NodeGraph
from rewindnet.topologies.rng import Stream, rng_at

#: What the deletion matrices hold at first, as in the code that the authors released.
_INITIAL = 1e-3


class Deleting(GraphModel):
    """A frozen network of two layers whose outputs near deleted edges are multiplied by a matrix for each layer.

    Args:
        frozen: the network.
        near: for each layer the nodes whose outputs change, bool [n].
        widths: of the outputs of the layers.
    """

    layers = 2

    def __init__(self, frozen: GraphModel, near: tuple[Tensor, Tensor], widths: tuple[int, int]) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.near = near
        self.matrices = nn.ParameterList(torch.full((width, width), _INITIAL, dtype=torch.float64) for width in widths)

    def draw_initial(self, training: GraphTraining) -> None:
        """Set the matrices to what they begin with."""
        with torch.no_grad():
            for matrix in self.matrices:
                matrix.fill_(_INITIAL)

    def moved(self, layer: int, h: Tensor) -> Tensor:
        """Return the outputs of a layer, multiplied by its matrix at the nodes near deleted edges."""
        return torch.where(self.near[layer].unsqueeze(1), h @ self.matrices[layer], h)

    def forward(
        self,
        x: Tensor,
        edges: Tensor,
        dropped: Callable[[tuple[int, ...]], Tensor] | None = None,
        change: Change | None = None,
    ) -> Tensor:
        """Compute scores [n, C]."""

        def moved(layer: int, h: Tensor) -> Tensor:
            h = self.moved(layer, h)
            return h if change is None else change(layer, h)

        scores: Tensor = self.frozen(x, edges, dropped, moved)
        return scores


def gnndelete(learned: Learned, *, epochs: int = 100, step_size: float = 0.001, alpha: float = 0.5) -> Unlearned:
    """GNNDelete: freeze the network, and learn a matrix for each layer that deletes edges of the forgotten nodes.

    A deleted edge shall look like two random nodes (*deleted edge consistency*), and nodes near it shall stay as they
    were (*neighbourhood influence*), both by mean squared error, each layer with an optimizer of its own.

    Cheng et al., "GNNDelete: a general strategy for unlearning in graph neural networks", ICLR 2023.

    Args:
        learned: the model and the request.
        epochs: the number of steps of each matrix.
        step_size: of Adam.
        alpha: the weight of the first of the two losses, between 0 and 1.

    Raises:
        GraphError: if a number is out of its range, or the network is linear.
    """
    if not 0 <= alpha <= 1:
        raise GraphError(f"gnndelete takes an alpha between 0 and 1, not {alpha}")
    learned.stepping(step_size)
    graph, remaining = learned.graph, learned.remaining
    before = layer_outputs(learned.model, graph)
    if len(before) < 2:
        raise GraphError(
            "gnndelete moves the outputs of two layers, and a linear graph network has one: choose gcn or gat"
        )
    hops = graph.hops(learned.forget, 2)
    model = Deleting(learned.copied_model(), (hops <= 1, hops <= 2), (before[0].shape[1], before[1].shape[1]))
    deleted = graph.edges[:, learned.forget[graph.edges[0]] | learned.forget[graph.edges[1]]]
    rng = rng_at(learned.training.seed, Stream.EVALUATION, context="gnndelete")
    optimizers = [Steps([matrix], step_size) for matrix in model.matrices]
    for _ in learned.later(epochs):
        random = torch.from_numpy(rng.integers(0, len(graph.x), tuple(deleted.shape)))
        for layer, steps in enumerate(optimizers):
            h = layer_outputs(model, remaining)[layer]
            stays = model.near[layer] & ~learned.forget
            edge, pair = h[deleted].flatten(0, 1), before[layer][random].flatten(0, 1)
            loss = alpha * (edge - pair).square().mean()
            loss = loss + (1.0 - alpha) * (h[stays] - before[layer][stays]).square().mean()
            steps.take(loss)
    return Unlearned(model, remaining, 2 * epochs)


def layer_outputs(model: GraphModel, graph: NodeGraph) -> list[Tensor]:
    """Return the outputs [n, width] of the layers of a network, before what comes after each of them."""
    outputs = []

    def kept(layer: int, h: Tensor) -> Tensor:
        outputs.append(h)
        return h

    model(graph.x, graph.edges, None, kept)
    return outputs
