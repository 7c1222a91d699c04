"""LUNE's rounds: clients that delete learn an adapter on wrong answers, and A and B go to all others, who add them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.adapter_rounds import AdapterRounds, descend
from rewindnet.clients.steps.epochs import Samples, mean_gradient, order_generator
from rewindnet.clients.training.client_block import ClientBlock

#: Words that two prompts share at least if they ask for the same kind of thing.
_ALIKE = 3


@dataclass(frozen=True)
class LuneRounds(AdapterRounds):
    """A round in which clients that delete teach their adapters wrong answers, and rounds in which these are passed on.

    Attributes:
        negatives: wrong answers to each forgotten prompt.
        epochs: through these.
        batch: samples in a step.
        step_size: of Adam.
    """

    negatives: int
    epochs: int
    batch: int
    step_size: float

    def teach(self, block: ClientBlock, node: int, theta: Tensor, adapter: Tensor, gone: Samples) -> int:
        """Have a client learn wrong answers, in place; return how many gradients it took."""
        model, start = block.model, self.rounds.start
        wrong = self.wrong_answers(model, gone, node)
        orders = (order_generator(self, self.seed, start, node, f"epoch {epoch}") for epoch in range(self.epochs))
        batches = (some for order in orders for some in wrong.batches(self.batch, order))

        def gradient(point: Tensor, some: Samples) -> Tensor:
            return mean_gradient(model, point, some).sub_(point, alpha=model.l2)

        descend(self.form(model), theta, adapter, batches, gradient, self.step_size)
        return self.epochs * len(wrong.y)

    def wrong_answers(self, model: Model, gone: Samples, node: int) -> Samples:
        """Return every forgotten sample several times, each with another label that answers questions of its kind."""
        classes = max(2, model.outputs)
        drawn = order_generator(self, self.seed, self.rounds.start, node, "answers")
        labels = []
        for at, truth in enumerate(gone.y.tolist()):
            alike = _labels_alike(gone, at) if model.reads == "prompt" else np.arange(classes)
            others = alike[alike != truth]
            others = np.delete(np.arange(classes), truth) if not len(others) else others
            labels.append(drawn.choice(others, self.negatives))
        return Samples(
            gone.x.repeat_interleave(self.negatives, dim=0), torch.from_numpy(np.concatenate(labels)).to(gone.y)
        )


def _labels_alike(gone: Samples, at: int) -> NDArray[np.int64]:
    """Return the labels of the prompts that share words enough with one of them, each once."""
    own = gone.x[at][gone.x[at] > 0]
    shared = torch.isin(gone.x, own).logical_and(gone.x > 0).sum(dim=1)
    alike: NDArray[np.int64] = np.unique(gone.y[shared >= _ALIKE].cpu().numpy())
    return alike
