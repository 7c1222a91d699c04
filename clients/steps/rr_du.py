"""The steps of a token: one model travels along a path that was drawn beforehand, and then becomes everybody's."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.certificates.mechanisms.rr_du import Alignment, Centre, Optimizer
from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.steps.base import Work
from rewindnet.clients.steps.token import one_hop, only_row
from rewindnet.clients.training.client_block import ClientBlock, Minibatch, Probe
from rewindnet.clients.training.noise import draw_in_round
from rewindnet.topologies.rng import Stream, rng_at

#: Kingma and Ba (2015), "Adam: a method for stochastic optimization", their own settings.
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class RRDUToken:
    """In each round the token comes to its next holder, which takes a step, or is to pass it on.

    Everybody else keeps the model that it held last. Where holders keep more than a model (the centre of the trust
    region, the moments of Adam), what they keep is θ followed by that: [b, k·d].

    Attributes:
        rounds: the addresses, one for each holder.
        home: u, who deletes, and where the token is before the first round.
        holders: [R], as `rewindnet.topologies.routing.TokenPath`.
        works: [R].
        noise: [R], the standard deviation of what u adds to its direction in that round, times `step_size`.
        alignment: of the direction that u takes: `exact`, −∇f'_u; `lightweight`, (m/n_u)·∇f_forget, an ascent on what
            is to be forgotten; `lightweight+descent`, −∇f_u + (m/n_u)·∇f_forget.
        clip: of that direction, to this norm.
        step_size: η.
        minibatches: s, whose mean others descend by.
        batch: samples in each of them; 0: all of a holder's.
        ball: radius of the trust region, onto which u projects; None: it does not.
        centre: of that: the model that u began with (`reference`), or as u first sent it, with noise (`noised`).
        optimizer: of everybody; Adam's moments stay with each holder.
        forgotten: m, how many samples u deletes.
        seed: of batches and noise.
        release: which release of the run it is.
        source: of the noise.
    """

    rounds: range
    home: int
    holders: tuple[int, ...]
    works: tuple[bool, ...]
    noise: tuple[float, ...]
    alignment: Alignment
    clip: float
    step_size: float
    minibatches: int
    batch: int
    ball: float | None
    centre: Centre
    optimizer: Optimizer
    forgotten: int
    seed: int
    release: int
    source: NoiseSource

    needs_forget_set: ClassVar[bool] = False

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """The identity but for the holder, which hears the holder before."""
        at = round - self.rounds.start
        return one_hop(mixing.nodes, self.holders[at - 1] if at else self.home, self.holders[at])

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """Of the holder alone, once the token is there."""
        none, taken = np.zeros_like(samples), np.zeros_like(samples)
        at = round - self.rounds.start
        holder = self.holders[at]
        if self.works[at] and holder == self.home:
            taken[holder] = self.forgotten if self.alignment == "lightweight" else samples[holder]
        elif self.works[at]:
            taken[holder] = self.minibatches * min(self.batch, samples[holder]) if self.batch else samples[holder]
        return none, taken

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """The models."""
        return theta[:, : block.model.parameters].contiguous()

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """The holder steps; the last round leaves the models alone."""
        d, at = block.model.parameters, round - self.rounds.start
        if theta.shape[1] == d:
            theta = torch.cat([theta, *self._begun(theta)], dim=1)
        state = torch.cat([mixed, theta[:, d:]], dim=1)
        holder = self.holders[at]
        if self.works[at] and holder in block.nodes:
            row = block.nodes.index(holder)
            if holder == self.home:
                self._visit(block, state, row, round, probe)
            else:
                point = state[row, :d]
                gradient = self._gradient(block, state[:, :d], row, round).to(torch.float64)
                state[row, :d] = (point.to(torch.float64) - self._step(state, row, at, gradient)).to(point)
                block.project(state[row : row + 1, :d])
        return state[:, :d].contiguous() if round == self.rounds[-1] else state

    def _begun(self, theta: Tensor) -> list[Tensor]:
        """What is kept besides the models, at first: the centre, and Adam's moments."""
        centre = [] if self.ball is None else [theta]
        return [*centre, *[torch.zeros_like(theta)] * (2 * (self.optimizer == "adam"))]

    @cached_property
    def _visits(self) -> list[int]:
        places = enumerate(zip(self.holders, self.works, strict=True))
        return [at for at, (holder, works) in places if works and holder == self.home]

    def _visit(self, block: ClientBlock, state: Tensor, row: int, round: int, probe: Probe | None) -> None:
        """u's step, in double precision: θ + η·(g + Z), into the trust region."""
        d, at = block.model.parameters, round - self.rounds.start
        point = state[row, :d]
        direction, other = self._directions(block, state[:, :d], row)
        if probe is not None:
            probe.shift(round, self.home, self.step_size * float((direction - other).norm()))
        if self.noise[at] > 0:
            drawn = draw_in_round(d, self.seed, self.release, round, self.home, self.source)
            direction = direction + torch.from_numpy(drawn * (self.noise[at] / self.step_size)).to(direction)
        moved = point.to(torch.float64) - self._step(state, row, at, -direction)
        first = at == self._visits[0]
        if self.ball is not None and not (first and self.centre == "noised"):
            centre = state[row, d : 2 * d].to(torch.float64)
            far = float((moved - centre).norm())
            if far > self.ball:
                moved = centre + (moved - centre) * (self.ball / far)
        state[row, :d] = moved.to(point)
        if self.ball is not None and first and self.centre == "noised":
            state[row, d : 2 * d] = state[row, :d]

    def _directions(self, block: ClientBlock, theta: Tensor, row: int) -> tuple[Tensor, Tensor]:
        """[d] each: the direction that u takes, and the one that it would take had it never had the forget set.

        With n_u samples, m of them forgotten, and the regulariser a part of every objective, −∇f_u + (m/n_u)·∇f_forget
        is −((n_u − m)/n_u)·∇f'_u. So it is computed: a shorter step of the same kind as `exact`.
        """
        if self.alignment == "lightweight":
            ascent = self.forgotten / (self.forgotten + int(block.samples[row])) * self._forgotten(block, theta, row)
            return self._clipped(ascent), torch.zeros_like(ascent)
        alone = Minibatch(participating=only_row(block, row))
        descent = -block.gradient(theta, alone)[row].to(torch.float64)
        retained = int(block.samples[row])
        share = 1.0 if self.alignment == "exact" else retained / (retained + self.forgotten)
        return self._clipped(share * descent), self._clipped(descent)

    def _forgotten(self, block: ClientBlock, theta: Tensor, row: int) -> Tensor:
        """∇f_forget [d] of u, which has not erased yet."""
        assert block.before_erasure is not None
        weights = [
            torch.zeros_like(there.weight).masked_fill_((there.weight > 0) & (kept.weight == 0), 1.0 / self.forgotten)
            for there, kept in zip(block.before_erasure.buckets, block.buckets, strict=True)
        ]
        minibatch = Minibatch(tuple(weights), only_row(block, row))
        return block.before_erasure.gradient(theta, minibatch)[row].to(torch.float64)

    def _clipped(self, direction: Tensor) -> Tensor:
        norm = float(direction.norm())
        return direction * (self.clip / norm) if norm > self.clip else direction

    def _gradient(self, block: ClientBlock, theta: Tensor, row: int, round: int) -> Tensor:
        """[d], the mean gradient of the holder's minibatches, or its full gradient."""
        held, participating = int(block.held[row]), only_row(block, row)
        if not self.batch or not held:
            return block.gradient(theta, Minibatch(participating=participating))[row]
        size = min(self.batch, held)
        drawn = rng_at(self.seed, Stream.TOKEN, round, 1 + block.nodes[row])
        counts = np.zeros(held)
        for _ in range(self.minibatches):
            counts[drawn.choice(held, size, replace=False)] += 1
        weights = []
        for bucket in block.buckets:
            weight = torch.zeros_like(bucket.weight)
            for k, of in enumerate(bucket.rows.tolist()):
                if of == row:
                    weight[k, :held] = torch.from_numpy(counts / (self.minibatches * size)).to(weight)
            weights.append(weight)
        return block.gradient(theta, Minibatch(tuple(weights), participating))[row]

    def _step(self, state: Tensor, row: int, at: int, gradient: Tensor) -> Tensor:
        """What to subtract [d] for this gradient."""
        if self.optimizer == "sgd":
            return self.step_size * gradient
        d = len(gradient)
        first, second = state[row, -2 * d : -d], state[row, -d:]
        one = _FIRST * first.to(torch.float64) + (1 - _FIRST) * gradient
        two = _SECOND * second.to(torch.float64) + (1 - _SECOND) * gradient**2
        state[row, -2 * d : -d], state[row, -d:] = one.to(first), two.to(second)
        holder, before = self.holders[at], zip(self.holders[: at + 1], self.works[: at + 1], strict=True)
        taken = sum(works and other == holder for other, works in before)
        scale = torch.sqrt(two / (1 - _SECOND**taken)) + _TINY
        return self.step_size * (one / (1 - _FIRST**taken)) / scale


@dataclass(frozen=True)
class RRDUTokenWithForgetSet(RRDUToken):
    """The same for a u that reads what is to be forgotten, which it must not have erased."""

    needs_forget_set: ClassVar[bool] = True
