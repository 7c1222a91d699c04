"""The steps that learning and unlearning are made of.

A program is a sequence of steps. A `LocalStep` is what every client does by itself; an `Exchange` is a run of rounds in
which clients send messages and take in what their neighbours' messages sum to. Steps know nothing of how messages
travel, and transports know nothing of what a step computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from certificates import Mixing, Release
from certificates.records import NoiseSource
from clients.block import Block, Witness
from clients.noise import draw
from clients.orders import LearningOrder
from topologies.coins import Purpose, coins


@runtime_checkable
class LocalStep(Protocol):
    """What every client of a block does by itself."""

    def apply(self, block: Block, theta: Tensor) -> Tensor:
        """θ [b, d] after the step; the input is left as it is."""


@runtime_checkable
class Exchange(Protocol):
    """A run of rounds in which clients exchange messages along the edges."""

    @property
    def rounds(self) -> range:
        """The addresses of its rounds: which mixing matrices and which coins they use."""

    def matrix(self, round: int) -> csr_array:
        """The mixing matrix [N, N] of a round."""

    def gradients(self, block: Block) -> int:
        """Per-sample gradients that a round costs this block."""

    def message(self, block: Block, theta: Tensor, round: int, witness: Witness | None) -> Tensor:
        """What the block's clients send: [b, d]."""

    def absorb(self, block: Block, theta: Tensor, mixed: Tensor, round: int, witness: Witness | None) -> Tensor:
        """θ⁺ [b, d] from θ and the neighbours' weighted sum."""


Step = LocalStep | Exchange


@dataclass(frozen=True)
class Start:
    """Every client takes the model's initial parameters."""

    seed: int

    def apply(self, block: Block, theta: Tensor) -> Tensor:
        """θ⁰, drawn once for the whole network, in the precision of the buffer given."""
        first = block.model.initial(coins(self.seed, Purpose.INITIAL_MODEL))
        return torch.from_numpy(first).to(theta).repeat(len(block.nodes), 1)


@dataclass(frozen=True)
class Restore:
    """Every client returns to its own checkpoint."""

    checkpoints: Mapping[int, Tensor]
    round: int

    def apply(self, block: Block, theta: Tensor) -> Tensor:
        """The checkpoint of that round [b, d]."""
        return self.checkpoints[self.round].clone()


@dataclass(frozen=True)
class AddNoise:
    """Every client adds its own Gaussian noise, or all of them the same vector where only the average is released."""

    sigma: NDArray[np.float64]
    seed: int
    release: int
    source: NoiseSource
    shared: bool = False

    def apply(self, block: Block, theta: Tensor) -> Tensor:
        """θ_i + N(0, σ_i²·I)."""
        noised = theta.clone()
        for row, node in enumerate(block.nodes):
            if self.sigma[node] > 0:
                drawn = draw(theta.shape[1], self.seed, self.release, 0 if self.shared else node, self.source)
                noised[row] += torch.from_numpy(drawn * self.sigma[node]).to(theta)
        return noised


@dataclass(frozen=True)
class Descend:
    """Rounds of learning: the clients descend on whatever data the block holds, and mix."""

    order: LearningOrder
    mixing: Mixing
    rounds: range

    def matrix(self, round: int) -> csr_array:
        """W_t."""
        return self.mixing.matrix(round)

    def gradients(self, block: Block) -> int:
        """E local steps over every sample held."""
        return block.local_steps * int(block.samples.sum())

    def message(self, block: Block, theta: Tensor, round: int, witness: Witness | None) -> Tensor:
        """As the learning order has it."""
        return self.order.message(block, theta, round, witness)

    def absorb(self, block: Block, theta: Tensor, mixed: Tensor, round: int, witness: Witness | None) -> Tensor:
        """As the learning order has it."""
        return self.order.absorb(block, theta, mixed, round, witness)


@dataclass(frozen=True)
class Gossip:
    """Rounds of mixing alone: no data is read."""

    mixing: Mixing
    rounds: range

    def matrix(self, round: int) -> csr_array:
        """W_t."""
        return self.mixing.matrix(round)

    def gradients(self, block: Block) -> int:
        """None."""
        return 0

    def message(self, block: Block, theta: Tensor, round: int, witness: Witness | None) -> Tensor:
        """θ."""
        return theta

    def absorb(self, block: Block, theta: Tensor, mixed: Tensor, round: int, witness: Witness | None) -> Tensor:
        """What came in."""
        return mixed


@dataclass(frozen=True)
class EveryoneAverages:
    """The mixing of a server, or of secure aggregation: W = 11ᵀ/N."""

    nodes: int

    def matrix(self, round: int) -> csr_array:
        """The matrix with 1/N everywhere."""
        return csr_array(np.full((self.nodes, self.nodes), 1 / self.nodes))


class Program(NamedTuple):
    """What a release has every client do: `approach` the place of the noise, add the `noise`, then `finish`."""

    approach: tuple[Step, ...]
    noise: AddNoise
    finish: tuple[Step, ...]


def unlearning_program(
    release: Release, order: LearningOrder, mixing: Mixing, checkpoints: Mapping[int, Tensor], seed: int, index: int
) -> Program:
    """The program that a release describes: rewind, descend, with noise before or after, settle.

    Args:
        release: what is to be done.
        order: of the learning rounds.
        mixing: the network's mixing matrices.
        checkpoints: every client's own, by round.
        seed: of the simulation.
        index: which release of this run it is; each draws noise of its own.
    """
    descent_ends = release.restored + release.descended
    restore = Restore(checkpoints, release.restored)
    descend = Descend(order, mixing, range(release.restored, descent_ends))
    noise = AddNoise(release.sigma, seed, index, release.noise_source, shared=release.averaged)
    settle = Gossip(mixing, range(descent_ends, descent_ends + release.settle))
    if release.placement == "rewind":
        return Program((restore,), noise, (descend, settle))
    return Program((restore, descend, *averaging(release, mixing.nodes)), noise, (settle,))


def averaging(release: Release, nodes: int) -> tuple[Step, ...]:
    """The round in which the average is taken, where only the average is released."""
    return (Gossip(EveryoneAverages(nodes), range(release.site, release.site + 1)),) if release.averaged else ()
