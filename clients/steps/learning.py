"""The steps of learning and of rewinding: start, descend, gossip, average, add noise; and programs of them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing, Order, Release
from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.models import Model
from rewindnet.clients.steps.base import CommunicationStep, LocalStep, Work
from rewindnet.clients.training.client_block import ClientBlock, Probe
from rewindnet.clients.training.noise import draw
from rewindnet.clients.training.orders import LEARNING_ORDERS
from rewindnet.topologies.rng import Stream, rng_at


@dataclass(frozen=True)
class InitialModel:
    """Every client takes the model's initial parameters."""

    seed: int

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """θ⁰, drawn once for the whole network, in the precision of the buffer given."""
        return self.initial(block.model, theta.dtype).to(theta.device).repeat(len(block.nodes), 1)

    def initial(self, model: Model, dtype: torch.dtype) -> Tensor:
        """θ⁰ [d] of every client."""
        return torch.from_numpy(model.initial(rng_at(self.seed, Stream.INITIAL_MODEL))).to(dtype)


@dataclass(frozen=True)
class AddNoise:
    """Every client adds its own Gaussian noise, or all of them the same vector where only the average is released."""

    sigma: tuple[float, ...]
    seed: int
    release: int
    source: NoiseSource
    shared: bool = False

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """θ_i + N(0, σ_i²·I)."""
        noised, size = theta.clone(), theta.shape[1]
        common = draw(size, self.seed, self.release, 0, self.source) if self.shared and any(self.sigma) else None
        for row, node in enumerate(block.nodes):
            if self.sigma[node] > 0:
                drawn = draw(size, self.seed, self.release, node, self.source) if common is None else common
                noised[row] += torch.from_numpy(drawn * self.sigma[node]).to(theta)
        return noised


@dataclass(frozen=True)
class Descend:
    """Rounds of learning: the clients descend on whatever data the block holds, and mix."""

    order: Order
    rounds: range

    needs_forget_set: ClassVar[bool] = False

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """W_t."""
        return mixing.matrix(round)

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """Those of the local steps."""
        none = np.zeros_like(gradients)
        return (gradients, none) if LEARNING_ORDERS[self.order].adapts_first else (none, gradients)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """As the learning order has it."""
        return LEARNING_ORDERS[self.order].message(block, theta, round, probe)

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """As the learning order has it."""
        return LEARNING_ORDERS[self.order].combine(block, theta, mixed, round, probe)


@dataclass(frozen=True)
class Gossip:
    """Rounds of mixing alone: no data is read."""

    rounds: range
    needs_forget_set: ClassVar[bool] = False

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """W_t."""
        return mixing.matrix(round)

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """None."""
        return np.zeros_like(gradients), np.zeros_like(gradients)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ."""
        return theta

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What came in."""
        return mixed


@dataclass(frozen=True)
class Average(Gossip):
    """A round in which everyone hears everyone: the mixing of a server, or of secure aggregation, W = 11ᵀ/N."""

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """The matrix with 1/N everywhere."""
        return csr_array(np.full((mixing.nodes, mixing.nodes), 1 / mixing.nodes))


@dataclass(frozen=True)
class Program:
    """What a release has every client do, from a checkpoint on: `approach` the site, add the `noise`, then `finish`.

    Attributes:
        approach: rounds before the site.
        noise: what every client does by itself there.
        finish: rounds after it.
        watched: the nodes whose shifts are measured: by how much what they add noise to, or work out, would be another
            had they never had the forget set.
        beforehand: whether all this was done while the network learned, so that a request costs nothing.
    """

    approach: tuple[CommunicationStep, ...] = ()
    noise: tuple[LocalStep, ...] = ()
    finish: tuple[CommunicationStep, ...] = ()
    watched: tuple[int, ...] = ()
    beforehand: bool = False


def unlearning_program(release: Release, order: Order, seed: int, index: int) -> Program:
    """The program that a release describes: from a checkpoint, descend, with noise before or after, settle.

    Args:
        release: what is to be done.
        order: of the learning rounds.
        seed: of the simulation.
        index: which release of this run it is; each draws noise of its own.
    """
    descent_ends = release.checkpoint_round + release.descent_rounds
    descend = Descend(order, range(release.checkpoint_round, descent_ends))
    noise = AddNoise(tuple(release.sigma.tolist()), seed, index, release.noise_source, shared=release.averaged)
    settle = Gossip(range(descent_ends, descent_ends + release.gossip_rounds))
    if release.placement == "rewind":
        return Program((), (noise,), (descend, settle))
    return Program((descend, *averaging(release)), (noise,), (settle,))


def averaging(release: Release) -> tuple[CommunicationStep, ...]:
    """The round in which the average is taken, where only the average is released."""
    return (Average(range(release.noise_round, release.noise_round + 1)),) if release.averaged else ()
