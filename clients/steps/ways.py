"""The ways in which clients that alternate between two kinds of steps go about it on a network.

    local      clients that delete work by themselves, for all epochs in one round; what they changed is passed on after
    gossip     all clients work, for an epoch in each round, and models are mixed along the edges
    server     the same, with a server that averages all models
    token      one model travels along a path, and each of its holders works on it

What optimizers carry from step to step stays where it is. With a token, what the steps on retained data carry may
travel too, in messages of its own; what those on the forget set carry depends on deleted samples, and is never sent.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_array, eye_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.token import one_hop
from rewindnet.clients.steps.way import Way
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.topologies.mixing import average_of_all


class Alternating(Protocol):
    """What a way asks of a step."""

    @property
    def rounds(self) -> range:
        """The addresses of the rounds."""

    @property
    def holders(self) -> tuple[int, ...]:
        """Where the token is before the first round, and after each; empty without a token."""

    @property
    def works(self) -> tuple[bool, ...]:
        """Whether the holder works after each round."""

    @property
    def carried(self) -> int:
        """How many messages travel with the token beside the model."""

    def retained_state(self, state: Tensor, parameters: int) -> Tensor:
        """Return the part [b, r] of what optimizers carry that belongs to steps on retained data, as a view."""

    def work(self, block: ClientBlock, states: Tensor, rows: Sequence[int], round: int) -> None:
        """Have the clients in some rows work in a round, in place; states are [b, d + s]."""


class WayOfWorking(ABC):
    """Which clients work in a round, and what they send and receive."""

    def matrix(self, step: Alternating, round: int, mixing: Mixing) -> csr_array:
        """Return the weights [N, N] of a round: by default those of the network."""
        return mixing.matrix(round)

    @abstractmethod
    def message(self, step: Alternating, block: ClientBlock, theta: Tensor, round: int) -> Tensor:
        """Return the messages [b, d]; states θ [b, d + s] change in place behind the models."""

    @abstractmethod
    def combine(self, step: Alternating, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int) -> Tensor:
        """Return the states [b, d + s] after a round."""


class Gossip(WayOfWorking):
    """All clients that participate work for an epoch, and models are mixed."""

    def rows(self, block: ClientBlock, round: int) -> list[int]:
        """Return the rows of the clients that work in a round."""
        participating = block.local_training.participating(round)
        return [row for row, node in enumerate(block.nodes) if participating is None or participating[node]]

    def message(self, step: Alternating, block: ClientBlock, theta: Tensor, round: int) -> Tensor:
        """Return the models after the epoch, in the ball."""
        d, worked = block.model.parameters, theta.clone()
        step.work(block, worked, self.rows(block, round), round)
        theta[:, d:] = worked[:, d:]
        return block.project(worked[:, :d].contiguous())

    def combine(self, step: Alternating, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int) -> Tensor:
        """Return the mixed models, and what optimizers carry as it is."""
        return torch.cat([mixed, theta[:, block.model.parameters :]], dim=1)


class Server(Gossip):
    """The same, and every client receives the average of all models."""

    def matrix(self, step: Alternating, round: int, mixing: Mixing) -> csr_array:
        """Return the matrix with 1/N everywhere."""
        return average_of_all(mixing.nodes)


class Local(Gossip):
    """Clients that delete work by themselves, and nothing is sent."""

    def rows(self, block: ClientBlock, round: int) -> list[int]:
        """Return the rows of the clients that have erased something."""
        assert block.before_erasure is not None
        return np.flatnonzero(block.before_erasure.samples > block.samples).tolist()

    def matrix(self, step: Alternating, round: int, mixing: Mixing) -> csr_array:
        """Return the identity."""
        return csr_array(eye_array(mixing.nodes))


class Token(WayOfWorking):
    """One model travels along a path; what is carried with it follows in rounds of its own, [b, d] in each."""

    def matrix(self, step: Alternating, round: int, mixing: Mixing) -> csr_array:
        """Return the identity but for the one who takes the token, or a part of what travels with it."""
        at = (round - step.rounds.start) // (1 + step.carried)
        return one_hop(mixing.nodes, *step.holders[at : at + 2])

    def message(self, step: Alternating, block: ClientBlock, theta: Tensor, round: int) -> Tensor:
        """Return the models, or the part of what optimizers carry whose turn it is."""
        d, part = block.model.parameters, self._part(step, round)
        if not part:
            return theta[:, :d].contiguous()
        state = step.retained_state(theta[:, d:], d)[:, (part - 1) * d : part * d]
        return torch.nn.functional.pad(state, (0, d - state.shape[1]))

    def combine(self, step: Alternating, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int) -> Tensor:
        """Return the states, with what the holder has received, and after its work if nothing more comes."""
        d, part, states = block.model.parameters, self._part(step, round), theta.clone()
        if part:
            into = step.retained_state(states[:, d:], d)[:, (part - 1) * d : part * d]
            into.copy_(mixed[:, : into.shape[1]])
        else:
            states[:, :d] = mixed
        at = (round - step.rounds.start) // (1 + step.carried)
        holder = step.holders[at + 1]
        if step.works[at] and part == step.carried and holder in block.nodes:
            row = block.nodes.index(holder)
            step.work(block, states, [row], round)
            block.project(states[row : row + 1, :d])
        return states

    def _part(self, step: Alternating, round: int) -> int:
        """Return 0 where the model comes, and 1, 2, … where a part of what is carried with it does."""
        return (round - step.rounds.start) % (1 + step.carried)


WAYS: Mapping[Way, WayOfWorking] = {"local": Local(), "gossip": Gossip(), "server": Server(), "token": Token()}
