"""Editing the graph, and fine-tuning the last layer alone."""

from rewindnet.clients.graphs.methods.base import Learned, Unlearned


def graph_edit_finetune(learned: Learned, *, epochs: int = 50, step_size: float | None = None) -> Unlearned:
    """Drop the nodes from the graph, and go on learning with the last layer alone.

    For networks that are not linear, something like what `graph-editor` does to linear ones: the first layer is taken
    for fixed features. It is no operator of that paper.

    Args:
        learned: the model and the request.
        epochs: the number of further epochs.
        step_size: of Adam; that of learning by default.

    Raises:
        GraphError: if a number is out of its range.
    """
    model, remaining = learned.copied_model(), learned.remaining
    taken = model.descend(remaining, learned.stepping(step_size), learned.later(epochs), model.last_layer)
    return Unlearned(model, remaining, taken)
