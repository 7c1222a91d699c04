"""A token that learns in private, with noise at every hop."""

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
from rewindnet.clients.steps.token import one_hop
from rewindnet.clients.training.client_block import ClientBlock, Probe
from rewindnet.clients.training.noise import draw_in_round


@dataclass(frozen=True)
class WalkDPToken:
    """A token that learns in private: θ ← Proj_Θ(θ − η(clip(∇f(θ); C) + Z)) at every holder, Z ~ N(0, σ²·I).

    It is the learning of a network that was private from the start, so that it reads what others would have to forget.

    Attributes:
        rounds: the addresses, one for each holder.
        holders: [R]; the first has the token before the first round.
        clip: C; None: gradients are as they are.
        sigma: σ, in the units of a gradient.
        step_size: η.
        seed: of the noise.
        release: which release of the run it is.
        source: of the noise.
    """

    rounds: range
    holders: tuple[int, ...]
    clip: float | None
    sigma: float
    step_size: float
    seed: int
    release: int
    source: NoiseSource

    needs_forget_set: ClassVar[bool] = True

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """The identity but for the holder, which hears the holder before."""
        at = round - self.rounds.start
        return one_hop(mixing.nodes, self.holders[max(at - 1, 0)], self.holders[at])

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """Of the holder alone, once the token is there."""
        none, taken = np.zeros_like(samples), np.zeros_like(samples)
        holder = self.holders[round - self.rounds.start]
        taken[holder] = samples[holder]
        return none, taken

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """The models."""
        return theta

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """The holder steps, in double precision, on all data, erased or not."""
        holder = self.holders[round - self.rounds.start]
        if holder not in block.nodes:
            return mixed
        assert block.before_erasure is not None
        state, row = mixed.clone(), block.nodes.index(holder)
        gradient = self._clipped(block.before_erasure, state, row)
        if probe is not None and block.samples[row] != block.before_erasure.samples[row]:
            alike = self._clipped(block, state, row)
            probe.shift(round, holder, float((gradient - alike).norm()))
        if self.sigma > 0:
            drawn = draw_in_round(len(gradient), self.seed, self.release, round, holder, self.source)
            gradient = gradient + torch.from_numpy(drawn * self.sigma).to(gradient)
        state[row] = (state[row].to(torch.float64) - self.step_size * gradient).to(state)
        block.project(state[row : row + 1])
        return state

    def _clipped(self, block: ClientBlock, theta: Tensor, row: int) -> Tensor:
        """clip(∇f; C) [d] of one client, in double precision."""
        # Of the shift of one sample among many nothing must be lost in rounding.
        alone = block.only([block.nodes[row]], torch.float64)
        gradient = alone.gradient(theta[row : row + 1].to(torch.float64))[0]
        norm = float(gradient.norm())
        return gradient if self.clip is None or norm <= self.clip else gradient * (self.clip / norm)
