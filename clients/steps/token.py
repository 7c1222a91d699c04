"""The base class of token steps: one model travels from node to node along a path that is drawn beforehand."""

from abc import ABC

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.noisy import NoisyRounds
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.topologies.schedules.base import sparse_matrix


class TokenRounds(NoisyRounds, ABC):
    """Rounds in each of which a token comes to its next holder; every other node keeps the model that it held last.

    Attributes:
        rounds: the addresses, one for each holder.
        holders: [R], the node that has the token after each round.
    """

    rounds: range
    holders: tuple[int, ...]

    @property
    def first_holder(self) -> int:
        """The node that has the token before the first round."""
        return self.holders[0]

    def holder(self, round: int) -> int:
        """Return the node that the token has come to in a round."""
        return self.holders[round - self.rounds.start]

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the identity but for the holder, which receives from the holder before."""
        giver = self.first_holder if round == self.rounds.start else self.holder(round - 1)
        return one_hop(mixing.nodes, giver, self.holder(round))


def one_hop(nodes: int, giver: int, taker: int) -> csr_array:
    """Return the identity [N, N] but for one node, which receives from another."""
    own = np.arange(nodes)
    return sparse_matrix(nodes, own, np.where(own == taker, giver, own), np.ones(nodes))


def only_row(block: ClientBlock, row: int) -> NDArray[np.bool_]:
    """Return the mask [b] of the one row of a block."""
    participating = np.zeros(len(block.nodes), dtype=bool)
    participating[row] = True
    return participating
