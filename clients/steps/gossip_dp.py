"""Learning that is private by itself: clipped gradients under fresh noise, in every round."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.steps.noisy import NoisyRounds
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class GossipDPRounds(NoisyRounds):
    """Rounds θ_i ← Σ_j W_ij·(θ_j − η(clip(∇F_j(θ_j); C) + Z_j)), Z_j ~ N(0, σ²·I), on all data, erased or not.

    It is the learning of a network that was private from the start, so that it reads what others would have to forget.
    A node that does not participate in a round takes no step and adds no noise. Projecting onto a ball, where clients
    do, comes after the noise.

    Attributes:
        rounds: the addresses of the rounds.
        clip: C.
        sigma: σ, in the units of a gradient.
        address: where the noise is drawn.
    """

    rounds: range
    clip: float
    sigma: float
    address: NoiseAddress

    needs_forget_set = True

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ − η(clip(∇F) + Z) [b, d], in the ball."""
        assert block.before_erasure is not None
        if probe is not None:
            self._measure(block.uncounted(), theta, round, probe)
        stepped = torch.add(theta, self._clipped_gradient(block.before_erasure, theta, round), alpha=-block.step_size)
        participating, scale = block.local_training.participating(round), block.step_size * self.sigma
        sigma = {node: scale if participating is None or participating[node] else 0.0 for node in block.nodes}
        return block.project(self.noised(block, stepped, sigma, round))

    def _clipped_gradient(self, block: ClientBlock, theta: Tensor, round: int) -> Tensor:
        return clipped(block.gradient(theta, block.minibatches(round)[0]), self.clip)

    def _measure(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe) -> None:
        """Report ‖clip(∇f_u(θ_u)) − clip(∇f'_u(θ_u))‖ of nodes that have erased something, at the step's very point."""
        assert block.before_erasure is not None
        rows = np.flatnonzero(block.samples != block.before_erasure.samples).tolist()
        if not rows:
            return
        nodes, point = [block.nodes[row] for row in rows], theta[rows].double()
        # Double precision, so that the shift of one sample among many is not lost in rounding.
        full, retained = (
            self._clipped_gradient(clients.only(nodes, torch.float64), point, round)
            for clients in (block.before_erasure, block)
        )
        for node, gap in zip(nodes, full - retained, strict=True):
            probe.shift(round, node, float(gap.norm()))
