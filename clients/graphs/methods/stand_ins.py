"""What the released code of "Forget and Explain" runs in the name of GNNDelete, GraphEditor and IDEA.

The operators of these papers are the methods `gnndelete`, `graph-editor` and `idea`.
"""

from dataclasses import replace

import torch

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.methods.base import Learned, Unlearned
from rewindnet.clients.graphs.methods.drop_finetune import drop_finetune
from rewindnet.topologies.rng import Stream, rng_at


def fe_gnndelete(learned: Learned, *, epochs: int = 50) -> Unlearned:
    """Do what F&E runs as GNNDelete: drop the nodes, and go on learning.

    Args:
        learned: the model and the request.
        epochs: the number of further epochs.

    Raises:
        GraphError: if there are less than 0 epochs.
    """
    return drop_finetune(learned, epochs=epochs)


def fe_grapheditor(learned: Learned, *, epochs: int = 50, dropped: float = 0.6, noise: float = 0.01) -> Unlearned:
    """Do what F&E runs as GraphEditor: drop most edges of the nodes, disturb their features, and go on learning.

    The nodes stay training nodes, with their labels.

    Args:
        learned: the model and the request.
        epochs: the number of further epochs.
        dropped: the share of their edges that is dropped.
        noise: the standard deviation of the Gaussian noise on their features.

    Raises:
        GraphError: if a number is out of its range.
    """
    if not 0 <= dropped <= 1 or noise < 0:
        raise GraphError(
            "fe-grapheditor drops a share of edges between 0 and 1, and adds noise of at least 0; "
            f"not {dropped} and {noise}"
        )
    graph, rng = learned.graph, rng_at(learned.training.seed, Stream.FORGET_SET, context="edited edges")
    source, target = graph.edges
    one_way = source < target
    touched = learned.forget[source] | learned.forget[target]
    pairs = graph.edges[:, one_way]
    incident = torch.nonzero(touched[one_way]).flatten()
    gone = torch.from_numpy(rng.permutation(len(incident))[: round(dropped * len(incident))])
    kept = torch.ones(pairs.shape[1], dtype=torch.bool)
    kept[incident[gone]] = False
    pairs = pairs[:, kept]
    disturbed = torch.from_numpy(rng.normal(0.0, noise, tuple(graph.x.shape)))
    x = graph.x + disturbed * learned.forget.unsqueeze(1)
    edited = replace(graph, x=x, edges=torch.cat([pairs, pairs.flip(0)], dim=1))
    model = learned.copied_model()
    return Unlearned(model, edited, model.descend(edited, learned.training, learned.later(epochs)))


def fe_idea(learned: Learned, *, epochs: int = 50) -> Unlearned:
    """Do what F&E runs as IDEA: learn a new model for a few epochs, from the whole graph with the nodes still in it.

    Args:
        learned: the model and the request.
        epochs: the number of epochs.

    Raises:
        GraphError: if there are less than 0 epochs.
    """
    epochs = len(learned.later(epochs))
    model = learned.new_model()
    return Unlearned(model, learned.graph, model.learn(learned.graph, replace(learned.training, epochs=epochs, draw=1)))
