"""Spreading: models pass from the nodes that have them to all others, hop by hop, each as a message that counts."""

from abc import ABC
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe
from rewindnet.topologies.routing import Tree

#: Rounds for every node of the network after which a node that has not been reached keeps its own model.
_PATIENCE = 10


@dataclass(frozen=True)
class Spreading(CommunicationStep, ABC):
    """Rounds in which every node that has not got something takes it over, once, from a neighbour that has.

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


@dataclass(frozen=True)
class Spread(Spreading):
    """Rounds in which every node that has not got the model takes it over, once, from a neighbour that has."""


@dataclass(frozen=True)
class SpreadChange(Spreading):
    """Rounds in which every node adds to its model, once, what others have changed in theirs, and passes that on.

    Attributes:
        before: the name of the models of before the change.
    """

    before: str

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the name of the models of before."""
        return (self.before,) if round == self.rounds.start else ()

    def begin(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the models, and the change of each behind it: [b, 2·d]."""
        return torch.cat([theta, theta - block.recalled_checkpoints[0]], dim=1)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the changes [b, d]."""
        return theta[:, block.model.parameters :].contiguous()

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models, changed where a change has come, and the changes; after the last round the models."""
        d, rows = block.model.parameters, [row for row, node in enumerate(block.nodes) if self.at[node] == round]
        states = theta.clone()
        states[rows, d:] = mixed[rows]
        states[rows, :d] = block.project(states[rows, :d] + mixed[rows])
        return states[:, :d].contiguous() if round == self.rounds[-1] else states


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
