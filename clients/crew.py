"""A crew: the clients of one block as a running thing, told what to do one step at a time.

Whatever carries the messages, this is what happens on the clients' own devices. A client keeps earlier states of its
own on a shelf, under names, and nobody else has them unless they are asked for.
"""

from collections.abc import Mapping, MutableMapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clients.block import Block
from clients.steps import Exchange, LocalStep

#: The clients' data: all of it, or what they retain after erasing the forget set.
Data = Literal["full", "retained"]

#: For every deleting node, its measured disturbances [T, E].
Disturbances = Mapping[int, NDArray[np.float64]]


class Crew:
    """The clients of one block.

    Args:
        full: the clients as they learn.
        forget: for each deleting node of the network, the positions of the erased samples in its own data.

    Attributes:
        retained: the clients after erasing the forget set; they hold no trace of it.
        data: which of the two they work on.
        theta: [b, d], where they are.
        shelf: states [b, d] that they keep, by name.
    """

    def __init__(self, full: Block, forget: Mapping[int, NDArray[np.int64]]) -> None:
        self.full = full
        self.retained = full.without(forget)
        self.data: Data = "full"
        self.theta = full.blank()
        self.shelf: MutableMapping[str, Tensor] = {}
        self._meter: DisturbanceMeter | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes of the block."""
        return self.full.nodes

    def begin(self, data: Data, name: str | None, measured: Disturbances | None = None) -> None:
        """Get ready to work on this data from a state on the shelf (None: from nowhere in particular).

        Args:
            data: what to work on.
            name: the state to begin from.
            measured: measure the disturbances of the deletion on the way, into a copy of these arrays.
        """
        self.theta = self.full.blank() if name is None else self.shelf[name]
        self.resume(data, measured or {})

    def resume(self, data: Data, measured: Disturbances) -> None:
        """Go on on this data from wherever the clients are."""
        self.data = data
        mine = {node: measured[node] for node in self.nodes if node in measured}
        self._meter = DisturbanceMeter(self.full, self.retained, mine) if mine else None

    @property
    def _block(self) -> Block:
        return self.full if self.data == "full" else self.retained

    def apply(self, step: LocalStep) -> None:
        """A step that needs nobody else."""
        self.theta = step.apply(self._block, self.theta)

    def message(self, step: Exchange, round: int) -> Tensor:
        """What the clients send in this round: [b, d]."""
        return step.message(self._block, self.theta, round, self._meter)

    def absorb(self, step: Exchange, round: int, mixed: Tensor) -> None:
        """Take in the weighted sums [b, d] of what the clients heard."""
        self.theta = step.absorb(self._block, self.theta, mixed, round, self._meter)

    def keep(self, name: str) -> None:
        """Put the current state on the shelf."""
        self.shelf[name] = self.theta.clone()

    def disturbances(self) -> Disturbances:
        """What was measured since `begin`."""
        return {} if self._meter is None else self._meter.measured


class DisturbanceMeter:
    """Measures the disturbances of a deletion while the clients learn.

    Args:
        full: the learning block.
        retained: the same block without the forget set.
        measured: [T, E] for each deleting node of the block, with what has been measured already.
    """

    def __init__(self, full: Block, retained: Block, measured: Disturbances) -> None:
        nodes = sorted(measured)
        # Double precision, so that the disturbance of one sample among many is not lost in rounding.
        self._full, self._retained = full.only(nodes, torch.float64), retained.only(nodes, torch.float64)
        self._rows = [full.nodes.index(node) for node in nodes]
        self.measured: Disturbances = {node: measured[node].copy() for node in nodes}

    def local_step(self, round: int, step: int, theta: Tensor, gradient: Tensor) -> None:
        """η‖∇f_u(θ_u) − ∇f'_u(θ_u)‖ at the very point."""
        point = theta[self._rows].double()
        gap = self._full.gradient(point) - self._retained.gradient(point)
        disturbance = self._full.step_size * gap.norm(dim=1).cpu().numpy()
        for own, value in zip(self.measured.values(), disturbance, strict=True):
            own[round, step] = value
