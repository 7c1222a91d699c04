"""What steps of a token share."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.topologies.schedules.base import sparse_matrix


def one_hop(nodes: int, giver: int, taker: int) -> csr_array:
    """The identity but for one node, which hears another."""
    own = np.arange(nodes)
    return sparse_matrix(nodes, own, np.where(own == taker, giver, own), np.ones(nodes))


def only_row(block: ClientBlock, row: int) -> NDArray[np.bool_]:
    """Return the mask [b] of the one row of a block."""
    participating = np.zeros(len(block.nodes), dtype=bool)
    participating[row] = True
    return participating
