"""The base class of steps in which clients alternate between steps on their forget sets and steps on retained data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.models import Model
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.epochs import Samples, forgotten, mean_gradient, order_generator, samples_of
from rewindnet.clients.steps.objectives import Described, built
from rewindnet.clients.steps.objectives.base import Objective
from rewindnet.clients.steps.way import Way
from rewindnet.clients.steps.ways import WAYS
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.optimizers.pair import OptimizerPair, Pairing, Phase
from rewindnet.clients.training.probe import Probe


class Turn(NamedTuple):
    """One step of an epoch.

    Attributes:
        phase: which set it is on.
        samples: the samples that it reads.
        weight: what its gradient is multiplied by.
    """

    phase: Phase
    samples: Samples
    weight: float = 1.0


@dataclass(frozen=True)
class AlternatingEpochs(CommunicationStep, ABC):
    """Epochs of a pass through the forget set and one through the retained data, in small batches, client by client.

    Attributes:
        rounds: the addresses of the rounds.
        seed: the seed of the order of the samples.
        way: who works when.
        epochs: in each round in which a client works.
        batch: retained samples in a step.
        forget_batch: forgotten samples in a step.
        forget_epochs: the epochs of a client that begin with a pass through its forget set; None: all.
        step_size: of the steps on retained data.
        forget_step_size: of those on the forget set.
        optimizers: of both.
        momentum: of SGD among them.
        weight_decay: added to every gradient, times θ.
        clip: the largest norm of a gradient; None: any.
        restart: whether what the optimizers carry begins anew with every epoch.
        objective: the name and the settings of what steps on the forget set go down besides; empty for nothing.
        loss_filter: the share of its forget set that a client leaves out: the samples with the highest loss by the
            learned model.
        learned: the name of the learned models.
        holders: where the token is before the first hop, and after each; empty without one.
        works: whether the holder works after each hop.
        carried: how many messages travel with the token beside the model.
    """

    rounds: range
    seed: int
    way: Way
    epochs: int
    batch: int
    forget_batch: int
    forget_epochs: int | None
    step_size: float
    forget_step_size: float
    optimizers: Pairing
    momentum: float
    weight_decay: float
    clip: float | None
    restart: bool
    objective: Described
    loss_filter: float
    learned: str
    holders: tuple[int, ...]
    works: tuple[bool, ...]
    carried: int

    needs_forget_set = True
    #: The phases whose gradients `mask` is for.
    masked: ClassVar[Sequence[Phase]] = ("forget", "retain")

    @abstractmethod
    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of what steps on the forget set go down, at θ [1, d]; learned is [1, d], too."""

    def retain_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] of what steps on retained data go down: by default their mean loss, with l2."""
        return mean_gradient(model, theta, samples)

    def forget_set(self, block: ClientBlock, node: int) -> Samples:
        """Return what a client goes through to forget: by default what it has erased, without what is filtered out."""
        assert block.before_erasure is not None
        gone, row = forgotten(block.before_erasure, block, node), block.nodes.index(node)
        left = len(gone.y) - round(self.loss_filter * len(gone.y))
        if left == len(gone.y):
            return gone
        losses = block.model.losses(block.recalled_checkpoints[0][row : row + 1], gone.x[None], gone.y[None])[0]
        usual = losses.argsort(stable=True)[:left].sort().values
        return Samples(gone.x[usual], gone.y[usual])

    def mask(self, block: ClientBlock, node: int, learned: Tensor) -> tuple[Tensor | None, int]:
        """Return which parameters [1, d] a client that forgets changes, as 0 and 1, and the gradients that took.

        None for all of them, as by default.
        """
        return None, 0

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the name of the learned models."""
        return (self.learned,)

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the weights of the way."""
        return WAYS[self.way].matrix(self, round, mixing)

    def begin(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the models, with what their optimizers carry behind them."""
        d = block.model.parameters
        states = theta.new_zeros(len(theta), d + self.pair.state_size(d))
        states[:, :d] = theta
        return states

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the way has clients send."""
        return WAYS[self.way].message(self, block, theta, round)

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the states after the round; after the last one the models alone."""
        states = WAYS[self.way].combine(self, block, theta, mixed, round)
        return states[:, : block.model.parameters].contiguous() if round == self.rounds[-1] else states

    @cached_property
    def pair(self) -> OptimizerPair:
        """The optimizers of both kinds of step."""
        return OptimizerPair(self.optimizers, self.momentum)

    @cached_property
    def wrapped(self) -> Objective | None:
        """What steps on the forget set go down besides."""
        return built(self.objective)

    def retained_state(self, state: Tensor, parameters: int) -> Tensor:
        """Return the part [b, r] of what optimizers carry that belongs to steps on retained data, as a view."""
        return self.pair.own("retain", state, parameters)

    def work(self, block: ClientBlock, states: Tensor, rows: Sequence[int], round: int) -> None:
        """Have the clients in some rows alternate in a round, in place; states are [b, d + s]."""
        d, taken = block.model.parameters, np.zeros(len(block.nodes), dtype=np.int64)
        for row in rows:
            point, carried = states[row : row + 1, :d], states[row : row + 1, d:]
            taken[row] = self._alternate(block, row, point, carried, round)
        block.count(taken)

    def _alternate(self, block: ClientBlock, row: int, theta: Tensor, carried: Tensor, round: int) -> int:
        """Have one client alternate, in place; return how many gradients it has taken."""
        node, model, learned = block.nodes[row], block.model, block.recalled_checkpoints[0][row : row + 1]
        sets: dict[Phase, Samples] = {"forget": self.forget_set(block, node), "retain": samples_of(block, node)}
        mask, taken = self.mask(block, node, learned) if len(sets["forget"].y) else (None, 0)
        first = self._epochs_before(node, round)
        for epoch in range(first, first + self.epochs):
            address = round + epoch - first
            if self.restart:
                carried.zero_()
            added = {phase: self._added(phase, model, sets["retain"], address, node) for phase in sets}
            for phase, some, weight in self.turns(sets, node, epoch, address):
                compute, more = self.forget_gradient if phase == "forget" else self.retain_gradient, added[phase]
                gradient = compute(model, theta, learned, some)
                if more is not None:
                    gradient = gradient + more(theta, some)
                gradient = gradient if weight == 1 else gradient * weight
                changed = mask if phase in self.masked else None
                self.step(phase, theta, gradient if changed is None else gradient * changed, carried)
                taken += len(some.y) * (1 if more is None else 2)
        return taken

    def turns(self, sets: Mapping[Phase, Samples], node: int, epoch: int, address: int) -> Iterator[Turn]:
        """Yield the steps of an epoch of a client: by default all on its forget set, then all on its retained data.

        Args:
            sets: its samples.
            node: the client.
            epoch: the number of the epoch, from 0.
            address: of the order of the samples.
        """
        for phase, samples in sets.items():
            if phase == "forget" and self.forget_epochs is not None and epoch >= self.forget_epochs:
                continue
            size = self.batch if phase == "retain" else self.forget_batch
            for some in samples.batches(size, self.order(address, node, phase)):
                yield Turn(phase, some)

    def _added(
        self, phase: Phase, model: Model, retained: Samples, address: int, node: int
    ) -> Callable[[Tensor, Samples], Tensor] | None:
        """Return what computes the gradient [1, d] of the objective in the steps of an epoch; None without one."""
        wrapped = self.wrapped
        if phase == "retain" or wrapped is None or not len(retained.y):
            return None
        generator = self.order(address, node, "objective")
        return lambda theta, some: wrapped.gradient(model, theta, some, retained, generator)

    def order(self, address: int, node: int, what: str) -> np.random.Generator:
        """Return the generator of the order of some samples of a client, in the epoch of that address."""
        return order_generator(self, self.seed, address, node, what)

    def _epochs_before(self, node: int, round: int) -> int:
        """Return how many epochs a client has gone through before a round."""
        at = round - self.rounds.start
        if not self.holders:
            return at * self.epochs
        hops = at // (1 + self.carried)
        return sum(self.works[hop] and self.holders[hop + 1] == node for hop in range(hops))

    def step(self, phase: Phase, theta: Tensor, gradient: Tensor, carried: Tensor) -> None:
        """Take one step of a phase, in place; the gradient [1, d] may be overwritten."""
        if self.clip is not None:
            clipped(gradient, self.clip)
        gradient = gradient.add_(theta, alpha=self.weight_decay)
        size = self.forget_step_size if phase == "forget" else self.step_size
        self.pair.step(phase, theta, gradient, carried, size)
