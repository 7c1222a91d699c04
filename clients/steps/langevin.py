"""Rounds of the network with noise between them."""

from dataclasses import dataclass

from torch import Tensor

from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.steps.learning import Descend
from rewindnet.clients.training.client_block import ClientBlock, Probe
from rewindnet.clients.training.noise import noised
from rewindnet.clients.training.orders import LEARNING_ORDERS


@dataclass(frozen=True)
class LangevinRounds(Descend):
    """Rounds of learning with noise between them: every node adds it to its model after each round but the last.

    Attributes:
        order: of the learning rounds.
        rounds: their addresses.
        sigma: [N], the noise of every node.
        seed: of the simulation.
        release: which release of the run it is.
        source: where noise comes from.
    """

    sigma: tuple[float, ...]
    seed: int
    release: int
    source: NoiseSource

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """As the learning order has it, and noise for the next round."""
        learned = LEARNING_ORDERS[self.order].combine(block, theta, mixed, round, probe)
        if round + 1 == self.rounds.stop:
            return learned
        return noised(block, learned, self.sigma, self.seed, self.release, round, self.source)
