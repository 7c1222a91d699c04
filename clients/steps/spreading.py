"""Spreading: models pass from the nodes that have them to all others, hop by hop, each as a message that counts."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import Work
from rewindnet.clients.training.client_block import ClientBlock, Probe
from rewindnet.topologies.routing import Tree

#: Rounds for every node of the network after which whoever has not been reached keeps its own model.
_PATIENCE = 10


@dataclass(frozen=True)
class Spread:
    """Rounds in which every node that has not got the model takes it over, once, from a neighbour that has.

    Attributes:
        rounds: the addresses.
        heard: [N], from whom each node takes it; from itself if it has it already, or never gets it.
        at: [N], in which round; −1 for none.
    """

    rounds: range
    heard: tuple[int, ...]
    at: tuple[int, ...]
    needs_forget_set: ClassVar[bool] = False

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """One entry a row: whom the node hears in this round, or itself."""
        nodes = np.arange(len(self.at))
        heard = np.where(np.array(self.at) == round, np.array(self.heard), nodes)
        return csr_array((np.ones(len(nodes)), heard, np.arange(len(nodes) + 1)), shape=(len(nodes), len(nodes)))

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """None."""
        return np.zeros_like(gradients), np.zeros_like(gradients)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ."""
        return theta

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What came in."""
        return mixed


def spread(mixing: Mixing, sources: Collection[int], start: int) -> Spread:
    """How the models of some nodes come to all others, by the edges of the rounds from `start` on.

    A node takes the model of the first neighbour that has one, of several at once the one with the lowest number: over
    a static graph, breadth first. A node that has not been reached after ten rounds for every node of the network keeps
    its own.

    Args:
        mixing: who hears whom in which round.
        sources: the nodes that have the model.
        start: the address of the first round.
    """
    N = mixing.nodes
    heard, at = np.arange(N), np.full(N, -1)
    has = np.zeros(N, dtype=bool)
    has[list(sources)] = True
    for round in range(start, start + _PATIENCE * N):
        if has.all():
            break
        edges = mixing.matrix(round).tocoo()
        fresh = has[edges.col] & ~has[edges.row] & (edges.data > 0)
        order = np.lexsort((edges.col[fresh], edges.row[fresh]))
        reached, first = np.unique(edges.row[fresh][order], return_index=True)
        heard[reached], at[reached], has[reached] = edges.col[fresh][order][first], round, True
    rounds = range(start, max(start, int(at.max()) + 1))
    return Spread(rounds, tuple(heard.tolist()), tuple(at.tolist()))


def along(tree: Tree, start: int) -> Spread:
    """How the model at the root of a tree comes to all others, generation by generation.

    Args:
        tree: from whom each node takes it.
        start: the address of the first round.
    """
    at = tuple(start + depth - 1 if depth else -1 for depth in tree.depths)
    return Spread(range(start, start + max(tree.depths)), tree.parents, at)
