"""Learning that is private by itself: clipped gradients under fresh noise, in every round."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.steps.base import Work
from rewindnet.clients.training.client_block import ClientBlock, Probe
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.noise import draw_in_round


@dataclass(frozen=True)
class GossipDPRounds:
    """Rounds θ_i ← Σ_j W_ij·(θ_j − η(clip(∇F_j(θ_j); C) + Z_j)), Z_j ~ N(0, σ²·I), on all data, erased or not.

    It is the learning of a network that was private from the start, so that it reads what others would have to forget.
    Who sleeps takes no step and adds no noise. Projecting onto a ball, where clients do, comes after the noise.

    Attributes:
        rounds: their addresses.
        clip: C.
        sigma: σ, in the units of a gradient.
        seed: of the noise.
        release: which release of the run it is.
        source: of the noise.
    """

    rounds: range
    clip: float
    sigma: float
    seed: int
    release: int
    source: NoiseSource

    needs_forget_set: ClassVar[bool] = True

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """W_t."""
        return mixing.matrix(round)

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """Those of a round of learning, before the message is sent."""
        return gradients, np.zeros_like(gradients)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ − η(clip(∇F) + Z), in the ball."""
        assert block.before_erasure is not None
        if probe is not None:
            self._measure(block, block.before_erasure, theta, round, probe)
        stepped = torch.add(theta, self._clipped_gradient(block.before_erasure, theta, round), alpha=-block.step_size)
        participating, scale = block.local_training.participating(round), block.step_size * self.sigma
        for row, node in enumerate(block.nodes):
            if scale > 0 and (participating is None or participating[node]):
                drawn = draw_in_round(theta.shape[1], self.seed, self.release, round, node, self.source)
                stepped[row] += torch.from_numpy(drawn * scale).to(theta)
        return block.project(stepped)

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What came in."""
        return mixed

    def _clipped_gradient(self, block: ClientBlock, theta: Tensor, round: int) -> Tensor:
        return clipped(block.gradient(theta, block.minibatches(round)[0]), self.clip)

    def _measure(
        self, block: ClientBlock, before_erasure: ClientBlock, theta: Tensor, round: int, probe: Probe
    ) -> None:
        """‖clip(∇f_u(θ_u)) − clip(∇f'_u(θ_u))‖ wherever something has been erased, at the very point of the step."""
        rows = np.flatnonzero(block.samples != before_erasure.samples).tolist()
        if not rows:
            return
        nodes, point = [block.nodes[row] for row in rows], theta[rows].double()
        # Double precision, so that the shift of one sample among many is not lost in rounding.
        one, other = (
            self._clipped_gradient(clients.only(nodes, torch.float64), point, round)
            for clients in (before_erasure, block)
        )
        for node, gap in zip(nodes, one - other, strict=True):
            probe.shift(round, node, float(gap.norm()))
