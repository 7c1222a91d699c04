"""GraphEditor: the closed form of a linear graph network, edited by a matrix of low rank."""

import torch

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.methods.base import Learned, Unlearned
from rewindnet.clients.graphs.models.sgc import SGC


def graph_editor(learned: Learned) -> Unlearned:
    """Edit the closed form of a linear network exactly: what deletion changes is taken out of it, and put in anew.

    With the propagated features Z of the training nodes and A = Z'Z + λI, the weights are A⁻¹Z'Y. Deletion changes the
    rows of the forgotten nodes and of nodes within three hops, since neighbours lose a degree; by the identity of
    Woodbury, A⁻¹ follows from its former value with these rows alone. The result is that of retraining, up to rounding.

    Cong and Mahdavi, "GraphEditor: an efficient graph representation learning and unlearning approach", 2022.

    Args:
        learned: the model and the request.

    Raises:
        GraphError: if the network is not linear.
    """
    model, graph, remaining = learned.copied_model(), learned.graph, learned.remaining
    if not isinstance(model, SGC):
        raise GraphError("graph-editor edits the closed form of a linear graph network: choose the graph model sgc")
    old, new = (model.design(one.x, one.edges) for one in (graph, remaining))
    near = graph.hops(learned.forget, model.layers + 1) <= model.layers + 1
    leaving, coming = graph.train & near, remaining.train & near
    targets = model.targets(graph.y)
    design = old[graph.train]
    inverse = torch.linalg.inv(design.T @ design + model.ridge * torch.eye(design.shape[1], dtype=design.dtype))
    rows = torch.cat([old[leaving], new[coming]])
    signs = torch.cat([-torch.ones(int(leaving.sum())), torch.ones(int(coming.sum()))]).to(rows.dtype)
    # A' = A + V'DV, so A'⁻¹ = A⁻¹ − A⁻¹V'(D⁻¹ + VA⁻¹V')⁻¹VA⁻¹; a sign is its own inverse.
    across = rows @ inverse
    inverse = inverse - across.T @ torch.linalg.solve(torch.diag(signs) + across @ rows.T, across)
    moment = design.T @ targets[graph.train] - old[leaving].T @ targets[leaving] + new[coming].T @ targets[coming]
    with torch.no_grad():
        model.weights.copy_(inverse @ moment)
    return Unlearned(model, remaining, 1)
