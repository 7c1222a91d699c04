"""A crew: the clients of one block as a running thing, told what to do one step at a time.

Whatever carries the messages, this is what happens on the clients' own devices. A client keeps earlier states of its
own on a shelf, under names, and nobody else has them unless they are asked for.
"""

from collections.abc import Collection, Mapping, MutableMapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clients.block import Block
from clients.steps import Exchange, LocalStep

#: The clients' data: all of it, or what they retain after erasing the forget set.
Data = Literal["full", "retained"]

#: For every node that measures something, [T, E + 1]: the disturbances of its local steps where it deletes, and last
#: the drift, how much of what it hears has changed since others left.
Disturbances = Mapping[int, NDArray[np.float64]]


class Crew:
    """The clients of one block.

    Args:
        full: the clients as they learn.
        forget: for each deleting node of the network, the positions of the erased samples in its own data.
        left: the nodes of the network that have left once the forget set is erased; they hold nothing then, not even a
            model.

    Attributes:
        retained: the clients after erasing the forget set; they hold no trace of it.
        data: which of the two they work on.
        theta: [b, d], where they are.
        shelf: states [b, d] that they keep, by name.
    """

    def __init__(self, full: Block, forget: Mapping[int, NDArray[np.int64]], left: Collection[int] = ()) -> None:
        self.full = full
        self._deleting = frozenset(forget) - frozenset(left)
        self._gone = [row for row, node in enumerate(full.nodes) if node in left]
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
        self._empty()

    def resume(self, data: Data, measured: Disturbances) -> None:
        """Go on on this data from wherever the clients are."""
        self.data = data
        mine = {node: measured[node] for node in self.nodes if node in measured}
        self._meter = DisturbanceMeter(self.full, self.retained, self._deleting, mine) if mine else None

    @property
    def _block(self) -> Block:
        return self.full if self.data == "full" else self.retained

    def apply(self, step: LocalStep) -> None:
        """A step that needs nobody else."""
        self.theta = step.apply(self._block, self.theta)
        self._empty()

    def message(self, step: Exchange, round: int) -> Tensor:
        """What the clients send in this round: [b, d]."""
        return step.message(self._block, self.theta, round, self._meter)

    def absorb(self, step: Exchange, round: int, mixed: Tensor) -> None:
        """Take in the weighted sums [b, d] of what the clients heard."""
        self.theta = step.absorb(self._block, self.theta, mixed, round, self._meter)

    def feel(self, round: int, changed: Tensor) -> None:
        """Measure how much of what the clients hear [b, d] has changed since others left."""
        if self._meter is not None:
            self._meter.drift(round, changed)

    def keep(self, name: str) -> None:
        """Put the current state on the shelf."""
        self.shelf[name] = self.theta.clone()

    def _empty(self) -> None:
        """Those that have left hold nothing."""
        if self._gone and self.data == "retained":
            self.theta = self.theta.clone()
            self.theta[self._gone] = 0.0

    def disturbances(self) -> Disturbances:
        """What was measured since `begin`."""
        return {} if self._meter is None else self._meter.measured


class DisturbanceMeter:
    """Measures what a deletion changes while the clients learn.

    Args:
        full: the learning block.
        retained: the same block without the forget set.
        deleting: the nodes whose gradients change.
        measured: [T, E + 1] for each measuring node of the block, with what has been measured already.
    """

    def __init__(self, full: Block, retained: Block, deleting: Collection[int], measured: Disturbances) -> None:
        self.measured: Disturbances = {node: measured[node].copy() for node in sorted(measured)}
        self._heard = {node: full.nodes.index(node) for node in self.measured}
        nodes = [node for node in self.measured if node in deleting]
        # Double precision, so that the disturbance of one sample among many is not lost in rounding.
        self._full, self._retained = full.only(nodes, torch.float64), retained.only(nodes, torch.float64)
        self._rows = [full.nodes.index(node) for node in nodes]
        self._own = [self.measured[node] for node in nodes]

    def local_step(self, round: int, step: int, theta: Tensor, gradient: Tensor) -> None:
        """η‖∇f_u(θ_u) − ∇f'_u(θ_u)‖ at the very point."""
        if not self._rows:
            return
        point = theta[self._rows].double()
        both = (block.gradient(point, block.readings(round)[step]) for block in (self._full, self._retained))
        gap = next(both) - next(both)
        disturbance = self._full.step_size * gap.norm(dim=1).cpu().numpy()
        for own, value in zip(self._own, disturbance, strict=True):
            own[round, step] = value

    def drift(self, round: int, changed: Tensor) -> None:
        """‖Σ_j (W − W')_ij·x_j‖, given those sums [b, d]."""
        for node, row in self._heard.items():
            # Row by row, so that the bits do not depend on who else is in the block.
            self.measured[node][round, -1] = float(changed[row].double().norm())
