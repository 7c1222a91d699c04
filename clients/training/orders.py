"""The three orders of learning: what a client sends in a round, and how it combines the messages that it receives.

    adapt-then-combine          Θ⁺ = W·D(Θ)                  diffusion learning, gossip federated averaging
    combine-then-adapt          Θ⁺ = D(WΘ)                   diffusion learning
    consensus-plus-gradient     Θ⁺ = WΘ + (D(Θ) − Θ)         DSGD, D-PSGD

with D the E local steps. Where clients project their parameters onto a ball, they do so after D in the first two
orders and after the whole round in the third, whose certificate needs D as it is.

Diffusion: Sayed (2014), "Adaptation, learning, and optimization over networks", §7; DSGD: Lian et al. (2017), "Can
decentralized algorithms outperform centralized algorithms?", Algorithm 1.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe

if TYPE_CHECKING:
    from torch import Tensor


class LearningOrder(ABC):
    """What a client sends in a round of learning, and how it combines the sum of what it receives with its own.

    Attributes:
        adapts_first: whether the local steps are taken before the message is sent.
    """

    adapts_first: ClassVar[bool] = False

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the clients send [b, d]: by default their parameters θ."""
        return theta

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ⁺ [b, d] from θ and the mixed messages [b, d], which may be overwritten; by default the latter."""
        return mixed


class AdaptThenCombine(LearningOrder):
    """Take local steps, send the result, and go on from the average."""

    adapts_first = True

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return D(θ), in the ball."""
        return block.project(block.descend(theta, round, probe))


class CombineThenAdapt(LearningOrder):
    """Average, then take local steps from the average."""

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return D of the average, in the ball."""
        return block.project(block.descend(mixed, round, probe))


class ConsensusPlusGradient(LearningOrder):
    """Average, and add the local steps taken from the parameters before."""

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the average plus D(θ) − θ, in the ball."""
        return block.project(mixed.add_(block.descend(theta, round, probe).sub_(theta)))


LEARNING_ORDERS: Mapping[str, LearningOrder] = {
    "adapt-then-combine": AdaptThenCombine(),
    "combine-then-adapt": CombineThenAdapt(),
    "consensus-plus-gradient": ConsensusPlusGradient(),
}
