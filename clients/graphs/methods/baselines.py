"""Retraining, the reference, and doing nothing, the control."""

from dataclasses import replace

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.methods.base import Learned, Unlearned


def retrain(learned: Learned, *, draw: int = 0) -> Unlearned:
    """Learn again on the graph without the forgotten nodes: the reference that others are compared with.

    Args:
        learned: the model and the request.
        draw: 0 for the random draws of learning. Another number stands for other initial models and dropout, and shows
            how far two models are apart that never saw the forgotten nodes.

    Raises:
        GraphError: if the number is negative.
    """
    if draw < 0:
        raise GraphError(f"the draw of a retrained model is a number of at least 0, not {draw}")
    model, remaining = learned.new_model(), learned.remaining
    return Unlearned(model, remaining, model.learn(remaining, replace(learned.training, draw=draw)))


def do_nothing(learned: Learned) -> Unlearned:
    """Leave the model as it is, and the forgotten nodes in the graph: the control.

    Args:
        learned: the model and the request.
    """
    return Unlearned(learned.model, learned.graph, 0)
