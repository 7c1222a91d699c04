"""Rounds of the network with noise between them."""

from dataclasses import dataclass

from torch import Tensor

from rewindnet.clients.steps.learning import OrderedRounds
from rewindnet.clients.steps.noisy import NoisyRounds
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class LangevinRounds(OrderedRounds, NoisyRounds):
    """Rounds of learning with noise between them: every node adds it to its model after each round but the last.

    Attributes:
        order: the order of learning.
        rounds: the addresses of the rounds.
        sigma: [N], σ of the noise of every node.
        address: where the noise is drawn.
    """

    sigma: tuple[float, ...]
    address: NoiseAddress

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ⁺ [b, d] by the learning order, with noise for the next round."""
        learned = self.learned(block, theta, mixed, round, probe)
        return learned if round + 1 == self.rounds.stop else self.noised(block, learned, self.sigma, round)
