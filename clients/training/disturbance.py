"""Measure the changes that deletions make at the clients, during learning and unlearning."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor

#: For every node that measures something while it learns, [T, R, E + 1] for R requests: the disturbances of its local
#: steps where it deletes, and last the drift, how much of what it receives has changed since others left. While it
#: unlearns, [rounds]: the shift of every round.
MeasuredDisturbances = Mapping[int, NDArray[np.float64]]


class Meter(Probe):
    """Measures what a deletion changes at some nodes.

    Args:
        measured: for each measuring node of the block, with what has been measured already.

    Attributes:
        measured: what has been measured by now, in arrays of its own.
    """

    def __init__(self, measured: MeasuredDisturbances) -> None:
        self.measured: MeasuredDisturbances = {node: measured[node].copy() for node in sorted(measured)}

    @abstractmethod
    def mixing_drift(self, round: int, changed: Tensor) -> None:
        """Measure ‖Σ_j (W − W')_ij·x_j‖, given these sums [b, d] of what the clients receive."""


class ShiftMeter(Meter):
    """Records the shifts that steps report while the network unlearns.

    Local steps are not measured: a descent on retained data is the same on both sides.

    Args:
        measured: [rounds] for each measuring node of the block, with what has been measured already.
    """

    def shift(self, round: int, node: int, value: float) -> None:
        """Record the shift of a node in a round."""
        if node in self.measured:
            self.measured[node][round] = value

    def mixing_drift(self, round: int, changed: Tensor) -> None:
        """Measure nothing: unlearning takes place on the network that remains."""


class DisturbanceMeter(Meter):
    """Measures what deletions change while the clients learn.

    Args:
        blocks: the clients after 0, 1, … R requests; blocks that do not count gradients.
        requests_met: which of these learn.
        deleting: for each request, the nodes whose gradients it changes.
        measured: [T, R, E + 1] for each measuring node of the block, with what has been measured already.
    """

    def __init__(
        self,
        blocks: Sequence[ClientBlock],
        requests_met: int,
        deleting: Sequence[Collection[int]],
        measured: MeasuredDisturbances,
    ) -> None:
        super().__init__(measured)
        self._rows = {node: blocks[0].nodes.index(node) for node in self.measured}
        changed = {
            request: [node for node in self.measured if node in nodes]
            for request, nodes in enumerate(deleting)
            if request >= requests_met
        }
        self._deleting = [node for node in self.measured if any(node in nodes for nodes in changed.values())]
        self._gradient_gaps = [
            _GradientGap(blocks[requests_met], blocks[1 + request], self._deleting, nodes, request)
            for request, nodes in changed.items()
            if nodes
        ]

    @property
    def watched_rows(self) -> Sequence[int]:
        """The rows of the clients that delete."""
        return [self._rows[node] for node in self._deleting]

    def local_steps(self, round: int, points: Tensor) -> None:
        """Measure η‖∇f_u(θ_u) − ∇f'_u(θ_u)‖ at the very points, for every request that is yet to be met."""
        for gap in self._gradient_gaps:
            for node, values in gap.disturbances(round, points).items():
                self.measured[node][round, gap.request, : len(values)] = values

    def mixing_drift(self, round: int, changed: Tensor) -> None:
        """Measure ‖Σ_j (W − W')_ij·x_j‖, given these sums [b, d]."""
        for node, row in self._rows.items():
            # Row by row, so that the bits do not depend on which other nodes are in the block.
            self.measured[node][round, :, -1] = float(changed[row].double().norm())


class _GradientGap:
    """The difference that a request makes to the gradients of some nodes.

    Args:
        learns: the clients as they learn.
        retains: the clients once the request is met.
        watched: the nodes whose parameters are given.
        nodes: those among them whose gradients the request changes.
        request: which request it is.
    """

    def __init__(
        self, learns: ClientBlock, retains: ClientBlock, watched: Sequence[int], nodes: Sequence[int], request: int
    ) -> None:
        self.request, self._nodes = request, nodes
        self._rows = [watched.index(node) for node in nodes]
        # Double precision, so that the disturbance of one sample among many is not lost in rounding.
        self._pair = tuple(block.only(nodes, torch.float64) for block in (learns, retains))

    def disturbances(self, round: int, points: Tensor) -> dict[int, list[float]]:
        """Return η‖∇f_u − ∇f'_u‖ of each of these nodes in each step, at the watched nodes' points [E, w, d]."""
        own = points[:, self._rows].double()
        full, retained = (
            torch.stack([block.step_gradient(*at) for at in zip(own, block.minibatches(round), strict=True)])
            for block in self._pair
        )
        norms = self._pair[0].step_size_at(round) * (full - retained).norm(dim=2)
        return dict(zip(self._nodes, norms.T.tolist(), strict=True))
