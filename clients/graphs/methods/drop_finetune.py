"""Fine-tuning on the graph without the forgotten nodes."""

from rewindnet.clients.graphs.methods.base import Learned, Unlearned


def drop_finetune(learned: Learned, *, epochs: int = 50, step_size: float | None = None) -> Unlearned:
    """Drop the nodes from the graph, and go on learning on what remains.

    Args:
        learned: the model and the request.
        epochs: the number of further epochs.
        step_size: of Adam; that of learning by default.

    Raises:
        GraphError: if a number is out of its range.
    """
    model, remaining = learned.copied_model(), learned.remaining
    taken = model.descend(remaining, learned.stepping(step_size), learned.later(epochs))
    return Unlearned(model, remaining, taken)
