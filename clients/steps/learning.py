"""The steps of learning and of rewinding: initial model, descent, gossip, averaging and noise."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates import Mixing, Order, Release
from rewindnet.certificates.healing import settle_weights
from rewindnet.clients.models import Model
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.noise import NoiseAddress, draw, noised
from rewindnet.clients.training.orders import LEARNING_ORDERS
from rewindnet.clients.training.probe import Probe
from rewindnet.late import torch
from rewindnet.topologies.mixing import average_of_all
from rewindnet.topologies.rng import Stream, rng_at

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class InitialModel(LocalStep):
    """Every client takes the model's initial parameters.

    Attributes:
        seed: the seed of the simulation.
    """

    seed: int

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return θ⁰ for every client, drawn once for the whole network, in the precision of the buffer given."""
        return self.initial(block.model, theta.dtype).to(theta.device).repeat(len(block.nodes), 1)

    def initial(self, model: Model, dtype: torch.dtype) -> Tensor:
        """Return θ⁰ [d] of every client."""
        return torch.from_numpy(self.drawn(model)).to(dtype)

    def drawn(self, model: Model) -> NDArray[np.float64]:
        """Return θ⁰ [d] in double precision, which takes no torch."""
        return model.initial(rng_at(self.seed, Stream.INITIAL_MODEL))


@dataclass(frozen=True)
class AddNoise(LocalStep):
    """Every client adds its own Gaussian noise, or all of them the same vector where only the average is released.

    Attributes:
        sigma: [N], the standard deviation of the noise of every node.
        address: where the noise is drawn.
        shared: whether all add the same vector.
    """

    sigma: tuple[float, ...]
    address: NoiseAddress
    shared: bool = False

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return θ_i + N(0, σ_i²·I)."""
        size = theta.shape[1]
        shared = draw(size, self.address, 0) if self.shared and any(self.sigma) else None

        def draw_for(node: int) -> NDArray[np.float64]:
            return draw(size, self.address, node) if shared is None else shared

        return noised(block, theta, self.sigma, draw_for)


@dataclass(frozen=True)
class OrderedRounds(CommunicationStep, ABC):
    """Rounds of learning by one of the learning orders.

    Attributes:
        order: of adapting and combining.
        rounds: the addresses of the rounds.
    """

    order: Order
    rounds: range

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the learning order has clients send."""
        return LEARNING_ORDERS[self.order].message(block, theta, round, probe)

    def learned(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ⁺ [b, d] by the learning order."""
        return LEARNING_ORDERS[self.order].combine(block, theta, mixed, round, probe)


@dataclass(frozen=True)
class Descend(OrderedRounds):
    """Rounds of learning: the clients descend on whatever data the block holds, and mix."""

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ⁺ [b, d] by the learning order."""
        return self.learned(block, theta, mixed, round, probe)


@dataclass(frozen=True)
class DescendAgain(OrderedRounds):
    """Rounds of learning that another run has made: from its models, and only where clients measure a deletion.

    What they lead to is not to be used. Clients that are computed together are so here, too, and have the same bits.

    Attributes:
        task: what the names of the models begin with, which the clients keep: those before each round.
    """

    task: str

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the name of the models before the round."""
        return (f"{self.task}-{round:06d}",)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the learning order has clients send."""
        return super().message(replace(block, watched_alone=True), block.recalled_checkpoints[0], round, probe)

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the learning order leads to at the clients that measure."""
        return self.learned(replace(block, watched_alone=True), block.recalled_checkpoints[0], mixed, round, probe)


@dataclass(frozen=True)
class DescendOtherwise(OrderedRounds):
    """Rounds of descent without the clip of learning, by a step size of their own, or with momentum.

    Attributes:
        clip: whether whole clients clip where they did in learning.
        step_size: η of all rounds; None for that of learning.
        momentum: β: θ⁺ = D(θ) + β·(θ − θ⁻), with D a round of descent and θ⁻ the models before the last one (Polyak
            1964, "Some methods of speeding up the convergence of iteration methods").
    """

    clip: bool = True
    step_size: float | None = None
    momentum: float = 0.0

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the learning order has clients send."""
        return super().message(self._otherwise(block), self._models(block, theta), round, probe)

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ⁺ [b, d] by the learning order, with momentum θ behind it where another round follows."""
        models = self._models(block, theta)
        learned = self.learned(self._otherwise(block), models, mixed, round, probe)
        if not self.momentum:
            return learned
        if round > self.rounds.start:
            learned = block.project(learned + (models - theta[:, block.model.parameters :]) * self.momentum)
        return learned if round == self.rounds.stop - 1 else torch.cat([learned, models], dim=1)

    def _models(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the models [b, d], without those of before."""
        return theta[:, : block.model.parameters].contiguous() if self.momentum else theta

    def _otherwise(self, block: ClientBlock) -> ClientBlock:
        """Return the same clients, who take these steps."""
        how = block.local_training
        how = how if self.clip else replace(how, envelope=None)
        if self.step_size is None:
            return replace(block, local_training=how)
        return replace(block, step_size=self.step_size, local_training=replace(how, step_sizes=()))


@dataclass(frozen=True)
class Gossip(CommunicationStep):
    """Rounds of mixing alone: no data is read."""

    rounds: range


@dataclass(frozen=True)
class GossipFirst(CommunicationStep):
    """Rounds of mixing alone, between the noise and a descent; accelerated ones carry the models of before along.

    Attributes:
        spectrum: ρ, by which the rounds are accelerated (`settle_weights`); None: they are not.
        radius: of the ball onto which clients project after the last round; None for none.
    """

    rounds: range
    spectrum: float | None = None
    radius: float | None = None

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models [b, d], without those of before."""
        return theta[:, : block.model.parameters].contiguous()

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return ω·W·θ + (1 − ω)·θ⁻ [b, d], and behind it θ where another round follows."""
        d, done = block.model.parameters, round - self.rounds.start
        if self.spectrum is not None and done:
            weight = next(islice(settle_weights(self.spectrum), done, None))
            # Product by product, so that no client's bits depend on its place in a block.
            mixed = mixed * weight + theta[:, d:] * (1 - weight)
        if round == self.rounds.stop - 1:
            return mixed if self.radius is None else clipped(mixed, self.radius)
        return mixed if self.spectrum is None else torch.cat([mixed, theta[:, :d]], dim=1)


@dataclass(frozen=True)
class Average(CommunicationStep):
    """Rounds in which every node receives from every node: a server, or secure aggregation, with W = 11ᵀ/N."""

    rounds: range

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the matrix with 1/N everywhere."""
        return average_of_all(mixing.nodes)


def unlearning_program(release: Release, order: Order, address: NoiseAddress) -> Program:
    """Return the program that a release describes: descent from a checkpoint, noise before or after it, gossip.

    Args:
        release: what is to be done.
        order: the order of learning.
        address: where its noise is drawn.
    """
    descend = Descend(order, release.descent)
    noise = AddNoise(tuple(release.sigma.tolist()), address, shared=release.averaged)
    gossip = Gossip(release.gossip)
    if release.placement == "rewind":
        before = (Descend(order, release.approach),) if release.approach else ()
        return Program(before, (noise,), (*_healed(release, descend), gossip))
    return Program((descend, *averaging(release)), (noise,), (gossip,))


def _healed(release: Release, descend: Descend) -> tuple[CommunicationStep, ...]:
    """Return what follows the noise on a checkpoint: gossip rounds first, then the descent, as the release heals.

    Args:
        release: what is to be done.
        descend: the descent as it is in learning.
    """
    healing = release.healing
    descent: CommunicationStep = descend
    if healing.own_steps:
        how = healing.clip, healing.step_size, healing.momentum
        descent = DescendOtherwise(descend.order, descend.rounds, *how)
    first = GossipFirst(release.settling, healing.spectrum, healing.radius)
    return (first, descent) if len(first.rounds) else (descent,)


def averaging(release: Release) -> tuple[CommunicationStep, ...]:
    """Return the round in which the average is taken, where only the average is released; nothing elsewhere."""
    return (Average(range(release.noise_round, release.noise_round + 1)),) if release.averaged else ()
