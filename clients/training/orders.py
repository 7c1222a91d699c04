"""The three learning orders, each as what a client sends and what it makes of what it receives.

    adapt-then-combine          Θ⁺ = W·D(Θ)                  diffusion learning, gossip federated averaging
    combine-then-adapt          Θ⁺ = D(WΘ)                   diffusion learning
    consensus-plus-gradient     Θ⁺ = WΘ + (D(Θ) − Θ)         DSGD, D-PSGD

with D the E local steps. Where clients project their parameters onto a ball, they do so after D in the first two
orders and after the whole round in the third, whose certificate needs D as it is.

Diffusion: Sayed (2014), "Adaptation, learning, and optimization over networks", §7; DSGD: Lian et al. (2017), "Can
decentralized algorithms outperform centralized algorithms?", Algorithm 1.
"""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from rewindnet.clients.training.client_block import ClientBlock, Probe


class LearningOrder(Protocol):
    """One round: `message` is sent to the neighbours, `absorb` takes in their weighted sum (one's own included).

    Attributes:
        adapts_first: whether the local steps are taken before the message is sent.
    """

    adapts_first: bool

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What the clients send: [b, d]."""

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ⁺ [b, d] from θ and the mixed messages [b, d], which may be overwritten."""


class AdaptThenCombine:
    """Step, then average."""

    adapts_first = True

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """D(θ)."""
        return block.project(block.descend(theta, round, probe))

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What came in."""
        return mixed


class CombineThenAdapt:
    """Average, then step."""

    adapts_first = False

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ."""
        return theta

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """D of what came in."""
        return block.project(block.descend(mixed, round, probe))


class ConsensusPlusGradient:
    """Average, and add the step taken from where one was."""

    adapts_first = False

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ."""
        return theta

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What came in, plus D(θ) − θ."""
        return block.project(mixed.add_(block.descend(theta, round, probe).sub_(theta)))


LEARNING_ORDERS: Mapping[str, LearningOrder] = {
    "adapt-then-combine": AdaptThenCombine(),
    "combine-then-adapt": CombineThenAdapt(),
    "consensus-plus-gradient": ConsensusPlusGradient(),
}
