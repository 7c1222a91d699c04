"""How much the loss of learning depends on the features of each node."""

import torch
from torch import Tensor

from rewindnet.clients.graphs.models.base import GraphModel
from rewindnet.clients.graphs.node_graph import NodeGraph


def saliency(model: GraphModel, graph: NodeGraph) -> Tensor:
    """Return g [n]: of each node the sum over its features of |∂ mean negative log-likelihood / ∂x|.

    Args:
        model: the model, whose scores are those of a softmax here, whatever its own loss.
        graph: the graph; the mean is that of its training nodes.
    """
    x = graph.x.clone().requires_grad_()
    logs = model(x, graph.edges).log_softmax(1)
    likelihood = logs.gather(1, graph.y.unsqueeze(1)).squeeze(1)[graph.train].mean()
    (gradient,) = torch.autograd.grad(-likelihood, [x])
    return gradient.abs().sum(1)


def share_of(g: Tensor, nodes: Tensor) -> float:
    """Return the residual attribution RA: the percentage of all saliency g [n] that is at some nodes [n]."""
    total = float(g.sum())
    return 100.0 * float(g[nodes].sum()) / total if total > 0 else 0.0
