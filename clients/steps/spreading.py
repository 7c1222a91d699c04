"""Spreading: models pass from the nodes that have them to all others, hop by hop, each as a message that counts."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.topologies.routing import Tree

#: Rounds for every node of the network after which a node that has not been reached keeps its own model.
_PATIENCE = 10


@dataclass(frozen=True)
class Spread(CommunicationStep):
    """Rounds in which every node that has not got the model takes it over, once, from a neighbour that has.

    Attributes:
        rounds: the addresses.
        heard: [N], the node from which each takes it; itself if it has it already, or never gets it.
        at: [N], in which round; −1 for none.
    """

    rounds: range
    heard: tuple[int, ...]
    at: tuple[int, ...]

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the matrix with one entry a row: the node that is heard in this round, or the node itself."""
        nodes = np.arange(len(self.at))
        heard = np.where(np.array(self.at) == round, np.array(self.heard), nodes)
        return csr_array((np.ones(len(nodes)), heard, np.arange(len(nodes) + 1)), shape=(len(nodes), len(nodes)))


def spread(mixing: Mixing, sources: Collection[int], start: int) -> Spread:
    """Return the rounds by which the models of some nodes come to all others, by the edges from `start` on.

    A node takes the model of the first neighbour that has one, of several at once the one with the lowest number: over
    a static graph, breadth first. A node that has not been reached after ten rounds for every node of the network keeps
    its own.

    Args:
        mixing: the mixing matrices of the network's schedule.
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
    """Return the rounds by which the model at the root of a tree comes to all others, level by level.

    Args:
        tree: from which node each takes it.
        start: the address of the first round.
    """
    at = tuple(start + depth - 1 if depth else -1 for depth in tree.depths)
    return Spread(range(start, start + max(tree.depths)), tree.parents, at)
