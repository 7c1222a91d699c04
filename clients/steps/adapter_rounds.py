"""Rounds in which clients that delete learn low-rank adapters, and these come to all others, who add them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.epochs import Samples, forgotten, order_generator
from rewindnet.clients.steps.spreading import Spreading
from rewindnet.clients.training.adapters import AdapterStack, LowRank
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.optimizers.adam import Adam
from rewindnet.clients.training.probe import Probe

_Batch = TypeVar("_Batch")


@dataclass(frozen=True)
class AdapterRounds(Spreading, ABC):
    """A round in which clients that delete learn their adapters, and rounds in which these pass from node to node.

    Attributes:
        seed: of the first adapter, and of what is drawn as it is learned.
        rank: of the adapters.
        adapter_alpha: by which, over the rank, their changes are multiplied.
    """

    seed: int
    rank: int
    adapter_alpha: float

    needs_forget_set = True

    @abstractmethod
    def teach(self, block: ClientBlock, node: int, theta: Tensor, adapter: Tensor, gone: Samples) -> int:
        """Have a client learn its adapter, in place.

        Args:
            block: the clients.
            node: the client.
            theta: [d], its model.
            adapter: [a], whose change is none as yet.
            gone: what it forgets, at least one sample.

        Returns:
            How many gradients it took.
        """

    def begin(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the models, and behind each an adapter of zeros: [b, d + a]."""
        return torch.cat([theta, theta.new_zeros(len(theta), self.form(block.model).size)], dim=1)

    def form(self, model: Model) -> LowRank:
        """Return the shape of the adapters of a model."""
        return LowRank(model.parameters, model.matrices, self.rank, self.adapter_alpha)

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
        drawn = order_generator(self, self.seed, self.rounds.start, node, "adapter")
        for A, _ in form.parts(state[d:]).values():
            start = drawn.standard_normal(tuple(A.shape)) / np.sqrt(A.shape[1])
            A.copy_(torch.from_numpy(start).to(A))
        taken = self.teach(block, node, state[:d].clone(), state[d:], gone)
        self._put_on(form, state)
        return taken


def descend(
    form: LowRank,
    theta: Tensor,
    adapter: Tensor,
    batches: Iterable[_Batch],
    gradient: Callable[[Tensor, _Batch], Tensor],
    step_size: float,
) -> None:
    """Take a step of Adam on an adapter for each batch, in place.

    Args:
        form: the shape of the adapter.
        theta: [d], the model below, which stays as it is.
        adapter: [a].
        batches: what each step is taken with.
        gradient: computes the gradient [1, d] by θ, at the model with its adapter [1, d].
        step_size: of Adam.
    """
    optimizer, carried = Adam(), adapter.new_zeros(1, 2 * len(adapter) + 1)
    for some in batches:
        point = (theta + form.change(adapter))[None]
        step = form.gradient(adapter, gradient(point, some)[0])[None]
        optimizer.step(adapter[None], step, carried, step_size)
