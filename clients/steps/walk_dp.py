"""A token that learns in private, with noise at every hop."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.steps.token import TokenRounds
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.clipping import clipped_vector
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class WalkDPToken(TokenRounds):
    """A token that learns in private: θ ← Proj_Θ(θ − η(clip(∇f(θ); C) + Z)) at every holder, Z ~ N(0, σ²·I).

    It is the learning of a network that was private from the start, so that it reads what others would have to forget.

    Attributes:
        rounds: the addresses, one for each holder.
        holders: [R]; the first has the token before the first round.
        clip: C; None: gradients are as they are.
        sigma: σ, in the units of a gradient.
        step_size: η.
        address: where the noise is drawn.
    """

    rounds: range
    holders: tuple[int, ...]
    clip: float | None
    sigma: float
    step_size: float
    address: NoiseAddress

    needs_forget_set = True

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models [b, d] after the holder's step, in double precision, on all its data, erased or not."""
        holder = self.holder(round)
        if holder not in block.nodes:
            return mixed
        assert block.before_erasure is not None
        state, row = mixed.clone(), block.nodes.index(holder)
        gradient = self._clipped_gradient(block.before_erasure, state, row)
        if probe is not None and block.samples[row] != block.before_erasure.samples[row]:
            retained = self._clipped_gradient(block.uncounted(), state, row)
            probe.shift(round, holder, float((gradient - retained).norm()))
        begin = state[row].to(torch.float64, copy=True)
        centre = begin - self.step_size * gradient
        if self.sigma > 0:
            drawn = self.draw(len(gradient), round, holder)
            gradient = gradient + torch.from_numpy(drawn * self.sigma).to(gradient)
        state[row] = (begin - self.step_size * gradient).to(state)
        if self.sigma > 0 and block.noise_meter is not None:
            block.noise_meter.added(round, holder, centre, state[row], begin)
        block.project(state[row : row + 1])
        return state

    def _clipped_gradient(self, block: ClientBlock, theta: Tensor, row: int) -> Tensor:
        """Compute clip(∇f; C) [d] of one client, in double precision."""
        # Of the shift of one sample among many nothing must be lost in rounding.
        alone = block.only([block.nodes[row]], torch.float64)
        gradient = alone.gradient(theta[row : row + 1].to(torch.float64))[0]
        return gradient if self.clip is None else clipped_vector(gradient, self.clip)
