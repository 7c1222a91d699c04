"""Observers of the round loop: one class, one thing seen."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from certificates import Ledger
from clients.block import Block
from clients.steps import Exchange


@dataclass(frozen=True)
class Cost:
    """What a program cost the network: per-sample gradients, rounds, messages, bytes on the wire, seconds."""

    gradients: int = 0
    rounds: int = 0
    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class CostMeter:
    """Counts what every round costs. A message is one parameter vector over one directed edge."""

    def __init__(self) -> None:
        self._cost = Cost()
        self._began = time.perf_counter()

    def after_round(self, step: Exchange, round: int, block: Block, theta: Tensor) -> None:
        """Count one round."""
        W = step.matrix(round)
        messages = int(W.nnz - np.count_nonzero(W.diagonal()))
        self._cost += Cost(step.gradients(block), 1, messages, messages * theta.shape[1] * theta.element_size())

    def total(self) -> Cost:
        """Everything so far, with the seconds since the meter was made."""
        return self._cost + Cost(seconds=time.perf_counter() - self._began)


class CheckpointKeeper:
    """Keeps every client's parameters after chosen numbers of rounds."""

    def __init__(self, rounds: Collection[int]) -> None:
        self._rounds = frozenset(rounds)
        self.checkpoints: dict[int, Tensor] = {}

    def keep(self, rounds: int, theta: Tensor) -> None:
        """Keep θ after `rounds` rounds, if it was asked for."""
        if rounds in self._rounds:
            self.checkpoints[rounds] = theta.clone()

    def after_round(self, step: Exchange, round: int, block: Block, theta: Tensor) -> None:
        """Keep it if it is one of the chosen."""
        self.keep(round + 1, theta)


class LedgerKeeper:
    """The ledger of learning: the disturbances of a deletion.

    Args:
        full: the learning block.
        retained: the same block without the forget set.
        nodes: the deleting clients.
        rounds: T.
    """

    def __init__(self, full: Block, retained: Block, nodes: Sequence[int], rounds: int) -> None:
        # Double precision, so that the disturbance of one sample among many is not lost in rounding.
        self._full, self._retained = full.only(nodes, torch.float64), retained.only(nodes, torch.float64)
        self._rows = [full.nodes.index(node) for node in nodes]
        self._disturbance = np.zeros((rounds, full.local_steps, len(self._rows)))

    def local_step(self, round: int, step: int, theta: Tensor, gradient: Tensor) -> None:
        """η‖∇f_u(θ_u) − ∇f'_u(θ_u)‖ at the very point."""
        point = theta[self._rows].double()
        gap = self._full.gradient(point) - self._retained.gradient(point)
        self._disturbance[round, step] = self._full.step_size * gap.norm(dim=1).cpu().numpy()

    def ledger(self) -> Ledger:
        """What was seen."""
        return Ledger(self._retained.nodes, self._disturbance)
