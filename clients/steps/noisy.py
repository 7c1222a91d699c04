"""The base class of steps that add noise during their rounds."""

from abc import ABC
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.noise import NoiseAddress, draw_in_round, noised


class NoisyRounds(CommunicationStep, ABC):
    """Rounds in which clients add fresh Gaussian noise.

    Attributes:
        address: where the noise is drawn.
    """

    address: NoiseAddress

    def draw(self, size: int, round: int, node: int) -> NDArray[np.float64]:
        """Draw standard Gaussian noise [size] of a node in a round."""
        return draw_in_round(size, self.address, round, node)

    def noised(
        self, block: ClientBlock, theta: Tensor, sigma: Sequence[float] | Mapping[int, float], round: int
    ) -> Tensor:
        """Return θ_i + N(0, σ_i²·I) [b, d], with the noise of a round.

        Args:
            block: the clients.
            theta: [b, d], left as it is.
            sigma: [N], σ of the noise of every node.
            round: the round.
        """
        return noised(block, theta, sigma, lambda node: self.draw(theta.shape[1], round, node), round)
