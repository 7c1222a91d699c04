"""The base class of steps in which every client goes through its own samples in small batches, client by client."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe
from rewindnet.topologies.rng import Stream, rng_at


class Samples(NamedTuple):
    """Samples of one client: the design [n, q] and the targets [n]."""

    x: Tensor
    y: Tensor

    def batches(self, size: int, generator: np.random.Generator) -> Iterator["Samples"]:
        """Yield the samples in a random order, so many at a time; the last batch may have fewer."""
        order = torch.from_numpy(generator.permutation(len(self.y))).to(self.y.device)
        for first in range(0, len(order), size):
            places = order[first : first + size]
            yield Samples(self.x[places], self.y[places])


def samples_of(block: ClientBlock, node: int) -> Samples:
    """Return the samples that a client holds."""
    (bucket,) = block.only([node], block.buckets[0].x.dtype).buckets
    held = bucket.weight[0] > 0
    return Samples(bucket.x[0][held], bucket.y[0][held])


def forgotten(full: ClientBlock, retained: ClientBlock, node: int) -> Samples:
    """Return the samples that a client has erased: what it held before, and holds no longer.

    Args:
        full: the clients before they erased anything.
        retained: the same after it.
        node: the client.
    """
    ((before,), (after,)) = (block.only([node], block.buckets[0].x.dtype).buckets for block in (full, retained))
    gone = (before.weight[0] > 0) & ~(after.weight[0] > 0)
    return Samples(before.x[0][gone], before.y[0][gone])


def mean_gradient(model: Model, theta: Tensor, samples: Samples) -> Tensor:
    """Compute the gradient [1, d] of the mean loss of some samples and the model's l2 at θ [1, d]."""
    weight = samples.x.new_full((1, len(samples.y)), 1 / len(samples.y))
    return model.gradient(theta, samples.x[None], samples.y[None], weight)


def logits(model: Model, theta: Tensor, design: Tensor) -> Tensor:
    """Compute log-odds [b, n, C] of all classes, up to a constant; of one score, those of its two sides."""
    scores = model.scores(theta, design)
    return scores if scores.shape[2] > 1 else torch.cat([torch.zeros_like(scores), scores], dim=2)


def order_generator(step: CommunicationStep, seed: int, round: int, node: int, what: str) -> np.random.Generator:
    """Return the generator of the order in which a step has a client go through some samples.

    Args:
        step: the step.
        seed: the seed of the order.
        round: the address.
        node: the client.
        what: which samples; empty where there is only one kind.
    """
    return rng_at(seed, Stream.BATCH, round, node, context=f"{type(step).__name__} {what}")


class EpochRounds(CommunicationStep, ABC):
    """Rounds in each of which every client goes through its samples from where it is, and models are then mixed.

    A client that does not participate in a round, or holds nothing, keeps its model until it is mixed. Gradients are
    counted as many as samples are read.

    Attributes:
        rounds: the addresses of the rounds, one for each epoch.
        seed: the seed of the order of the samples.
    """

    rounds: range
    seed: int

    @abstractmethod
    def epoch(self, block: ClientBlock, node: int, theta: Tensor, round: int) -> tuple[Tensor, int]:
        """Return what a client makes of θ [1, d], which is left as it is, and how many gradients it took."""

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models [b, d] after the epoch, in the ball."""
        participating, out = block.local_training.participating(round), theta.clone()
        taken = np.zeros(len(block.nodes), dtype=np.int64)
        for row, node in enumerate(block.nodes):
            if participating is None or participating[node]:
                out[row : row + 1], taken[row] = self.epoch(block, node, theta[row : row + 1], round)
        block.count(taken)
        return block.project(out)

    def generator(self, round: int, node: int, what: str = "") -> np.random.Generator:
        """Return the generator of the order of a client's samples in a round."""
        return order_generator(self, self.seed, round, node, what)
