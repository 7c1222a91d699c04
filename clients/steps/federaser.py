"""Calibration: rounds of learning gone through again from kept states, with updates of the length that they had.

Liu, Ma, Yang, Wang and Liu (2021), "FedEraser: enabling efficient client-level data removal from federated learning
models", IWQoS, Section III: with U the update that a client sent in a kept round and Û the one that it works out from
the calibrated model with less work,

    Ũ = ‖U‖·Û/‖Û‖

is what it sends now, and what the others make of it is the calibrated model of the next kept round.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import Work
from rewindnet.clients.training.client_block import ClientBlock, Probe


@dataclass(frozen=True)
class FedEraserCalibration:
    """The kept rounds of learning again, on retained data, where clients adapt before they combine.

    They begin at the state before the first of them. Nobody who deletes has had a part in that, so that this round's
    updates stand as they were. A client that deletes can keep none of its old updates: it works them out anew, from the
    kept states on the data it retains; everyone else gets the very bits that it had, which costs a client that has kept
    them nothing.

    Attributes:
        rounds: the addresses of the kept rounds, evenly spaced.
        kept: the names of the states before them.
        steps: local steps of a calibration.
        local_steps: E, of a round of learning.
        anew: for each of the rounds, the nodes that have deleted something since.
    """

    rounds: range
    kept: tuple[str, ...]
    steps: int
    local_steps: int
    anew: tuple[tuple[int, ...], ...]

    needs_forget_set: ClassVar[bool] = False

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """The state that learning had before the round."""
        return (self.kept[self.rounds.index(round)],)

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """W_t."""
        return mixing.matrix(round)

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """The local steps of the calibration, and all of a round's for those that work out an old update anew."""
        taken = np.zeros_like(gradients)
        if round != self.rounds.start:
            taken = gradients * self.steps // self.local_steps
        anew = list(self.anew[self.rounds.index(round)])
        taken[anew] += gradients[anew]
        return taken, np.zeros_like(gradients)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ + Ũ."""
        (kept,) = block.recalled_checkpoints
        sent = _adapted(block, kept, round)
        if round == self.rounds.start:
            return sent
        update = _adapted(replace(block, local_steps=self.steps), theta, round).sub_(theta)
        # Row by row, so that a client's bits do not depend on who else is in its block.
        for own, before, after in zip(update, kept, sent, strict=True):
            norm = float(own.norm())
            if norm > 0:
                own *= float((after - before).norm()) / norm
        return block.project(update.add_(theta))

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What came in."""
        return mixed


def _adapted(block: ClientBlock, theta: Tensor, round: int) -> Tensor:
    """What the clients send in a round of learning from θ."""
    return block.project(block.descend(theta, round))
