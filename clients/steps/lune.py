"""LUNE's rounds: clients that delete learn an adapter on wrong answers, and A and B go to all others, who add them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.epochs import Samples, forgotten, mean_gradient, order_generator
from rewindnet.clients.steps.spreading import Spreading
from rewindnet.clients.training.adapters import AdapterStack, LowRank
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.optimizers.adam import Adam
from rewindnet.clients.training.probe import Probe

#: Words that two prompts share at least if they ask for the same kind of thing.
_ALIKE = 3


@dataclass(frozen=True)
class LuneRounds(Spreading):
    """A round in which clients that delete learn their adapters, and rounds in which these pass from node to node.

    Attributes:
        seed: of the first adapter, of the wrong answers and of the order of the samples.
        rank: of the adapters.
        alpha: by which, over the rank, their changes are multiplied.
        negatives: wrong answers to each forgotten prompt.
        epochs: through these.
        batch: samples in a step.
        step_size: of Adam.
    """

    seed: int
    rank: int
    alpha: float
    negatives: int
    epochs: int
    batch: int
    step_size: float

    needs_forget_set = True

    def begin(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the models, and behind each an adapter of zeros: [b, d + a]."""
        return torch.cat([theta, theta.new_zeros(len(theta), self.form(block.model).size)], dim=1)

    def form(self, model: Model) -> LowRank:
        """Return the shape of the adapters of a model."""
        return LowRank(model.parameters, model.matrices, self.rank, self.alpha)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the adapters alone, [b, a]."""
        return theta[:, block.model.parameters :].contiguous()

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models, changed where an adapter was learned or has come, with adapters up to the last round."""
        d, states = block.model.parameters, theta.clone()
        form, taken = self.form(block.model), np.zeros(len(block.nodes), dtype=np.int64)
        for row, node in enumerate(block.nodes):
            if round == self.rounds.start:
                taken[row] = self._learned(block, node, form, states[row])
            elif self.at[node] == round:
                states[row, d:] = mixed[row, : form.size]
                self._put_on(form, states[row])
        block.count(taken)
        states[:, :d] = block.project(states[:, :d].contiguous())
        return states[:, :d].contiguous() if round == self.rounds[-1] else states

    def _put_on(self, form: LowRank, state: Tensor) -> None:
        """Add the change of the adapter in a state [d + a] to its model, in place."""
        d = form.parameters
        state[:d] = AdapterStack(state[:d].clone(), form, {"request": state[d:]}).merged()

    def _learned(self, block: ClientBlock, node: int, form: LowRank, state: Tensor) -> int:
        """Have a client learn its adapter and put it on, in place; return how many gradients it took."""
        assert block.before_erasure is not None
        gone, d = forgotten(block.before_erasure, block, node), form.parameters
        if not len(gone.y):
            return 0
        theta, adapter = state[:d].clone(), state[d:]
        drawn = order_generator(self, self.seed, self.rounds.start, node, "adapter")
        for A, _ in form.parts(adapter).values():
            start = drawn.standard_normal(tuple(A.shape)) / np.sqrt(A.shape[1])
            A.copy_(torch.from_numpy(start).to(A))
        wrong = self.wrong_answers(block.model, gone, node)
        optimizer, carried = Adam(), adapter.new_zeros(1, 2 * len(adapter) + 1)
        for epoch in range(self.epochs):
            order = order_generator(self, self.seed, self.rounds.start, node, f"epoch {epoch}")
            for some in wrong.batches(self.batch, order):
                point = (theta + form.change(adapter))[None]
                gradient = mean_gradient(block.model, point, some).sub_(point, alpha=block.model.l2)
                step = form.gradient(adapter, gradient[0])[None]
                optimizer.step(adapter[None], step, carried, self.step_size)
        self._put_on(form, state)
        return self.epochs * len(wrong.y)

    def wrong_answers(self, model: Model, gone: Samples, node: int) -> Samples:
        """Return every forgotten sample several times, each with another label that answers questions of its kind."""
        classes = max(2, model.outputs)
        drawn = order_generator(self, self.seed, self.rounds.start, node, "answers")
        labels = []
        for at, truth in enumerate(gone.y.tolist()):
            alike = _labels_alike(gone, at) if model.reads_tokens else np.arange(classes)
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
