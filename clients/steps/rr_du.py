"""The rounds of RR-DU: a token travels along a path, and its holders take steps, with noise at the deleting client."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rewindnet.certificates.mechanisms.rr_du import Alignment, Centre, Optimizer
from rewindnet.clients.steps.token import TokenRounds, only_row
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.clipping import clipped_vector
from rewindnet.clients.training.minibatch import Minibatch
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.clients.training.probe import Probe
from rewindnet.topologies.rng import Stream, rng_at

#: Kingma and Ba (2015), "Adam: a method for stochastic optimization", their own settings.
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class RRDUToken(TokenRounds):
    """In each round the token comes to its next holder, which takes a step, or is to pass it on.

    Where holders keep more than a model (the centre of the trust region, the moments of Adam), what they keep is θ
    followed by that: [b, k·d].

    Attributes:
        rounds: the addresses, one for each holder.
        home: u, the node that deletes, and where the token is before the first round.
        holders: [R], as `rewindnet.topologies.routing.Path`.
        works: [R], whether the holder takes a step.
        noise: [R], the standard deviation of what u adds to its direction in that round, times `step_size`.
        alignment: of the direction that u takes: `exact`, −∇f'_u; `lightweight`, (m/n_u)·∇f_forget, an ascent on what
            is to be forgotten; `lightweight+descent`, −∇f_u + (m/n_u)·∇f_forget.
        clip: of that direction, to this norm.
        step_size: η.
        minibatches: s, whose mean others descend by.
        batch: samples in each of them; 0: all of a holder's.
        ball: radius of the trust region, onto which u projects; None: it does not.
        centre: of that: the model that u began with (`reference`), or as u first sent it, with noise (`noised`).
        optimizer: of every holder, `dual-as` is Adam of u and SGD of the others; Adam's moments stay with each holder.
        step_size_elsewhere: η of the others, where it is another.
        forgotten: m, how many samples u deletes.
        address: where the noise is drawn; its seed is that of the batches too.
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
    address: NoiseAddress
    step_size_elsewhere: float | None = None

    @property
    def needs_forget_set(self) -> bool:
        """Whether u reads what is to be forgotten: only for the ascent on it."""
        return self.alignment == "lightweight"

    @property
    def first_holder(self) -> int:
        """The node that has the token before the first round: u."""
        return self.home

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models [b, d]."""
        return theta[:, : block.model.parameters].contiguous()

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models after the holder's step, and what is kept beside them in all rounds but the last."""
        d, holder = block.model.parameters, self.holder(round)
        if theta.shape[1] == d:
            theta = torch.cat([theta, *self._initial_extras(theta)], dim=1)
        state = torch.cat([mixed, theta[:, d:]], dim=1)
        if self.works[round - self.rounds.start] and holder in block.nodes:
            row = block.nodes.index(holder)
            if holder == self.home:
                self._visit(block, state, row, round, probe)
            else:
                self._step_elsewhere(block, state, row, round)
        return state[:, :d].contiguous() if round == self.rounds[-1] else state

    def _initial_extras(self, theta: Tensor) -> list[Tensor]:
        """Return what is kept beside the models at first: the centre, and Adam's moments."""
        centre = [] if self.ball is None else [theta]
        return [*centre, *[torch.zeros_like(theta)] * (2 * (self.optimizer != "sgd"))]

    @cached_property
    def _visits(self) -> list[int]:
        """The rounds in which u takes a step."""
        both = zip(self.rounds, self.holders, self.works, strict=True)
        return [round for round, holder, works in both if works and holder == self.home]

    def _step_elsewhere(self, block: ClientBlock, state: Tensor, row: int, round: int) -> None:
        """Have a holder other than u descend, in place."""
        d = block.model.parameters
        point = state[row, :d]
        gradient = self._minibatch_gradient(block, state[:, :d], row, round).to(torch.float64)
        state[row, :d] = (point.to(torch.float64) - self._update(state, row, round, gradient)).to(point)
        block.project(state[row : row + 1, :d])

    def _visit(self, block: ClientBlock, state: Tensor, row: int, round: int, probe: Probe | None) -> None:
        """Have u step, in place and in double precision: θ + η·(g + Z), into the trust region."""
        d, noise = block.model.parameters, self.noise[round - self.rounds.start]
        point = state[row, :d]
        direction, without = self._directions(block, state[:, :d], row)
        if probe is not None:
            probe.shift(round, self.home, self.step_size * float((direction - without).norm()))
        begin, quiet = point.to(torch.float64, copy=True), direction
        if noise > 0:
            drawn = self.draw(d, round, self.home)
            direction = direction + torch.from_numpy(drawn * (noise / self.step_size)).to(direction)
        moved = begin - self._update(state, row, round, -direction)
        if noise > 0 and block.noise_meter is not None:
            # Adam makes of noise what is no longer Gaussian, so that it is measured on the direction.
            after = moved if self.optimizer == "sgd" else begin + self.step_size * direction
            block.noise_meter.added(round, self.home, begin + self.step_size * quiet, after, begin)
        sets_centre = self.centre == "noised" and round == self._visits[0]
        if self.ball is not None and not sets_centre:
            centre = state[row, d : 2 * d].to(torch.float64)
            distance = float((moved - centre).norm())
            if distance > self.ball:
                moved = centre + (moved - centre) * (self.ball / distance)
        state[row, :d] = moved.to(point)
        if self.ball is not None and sets_centre:
            state[row, d : 2 * d] = state[row, :d]

    def _directions(self, block: ClientBlock, theta: Tensor, row: int) -> tuple[Tensor, Tensor]:
        """Compute the direction [d] that u takes, and the one that it would take had it never had the forget set.

        With n_u samples, m of them forgotten, and the regulariser a part of every objective, −∇f_u + (m/n_u)·∇f_forget
        is −((n_u − m)/n_u)·∇f'_u. So it is computed: a shorter step of the same kind as `exact`.
        """
        retained = int(block.samples[row])
        if self.alignment == "lightweight":
            ascent = self.forgotten / (self.forgotten + retained) * self._forget_gradient(block, theta, row)
            return clipped_vector(ascent, self.clip), torch.zeros_like(ascent)
        descent = -block.gradient(theta, Minibatch(participating=only_row(block, row)))[row].to(torch.float64)
        share = 1.0 if self.alignment == "exact" else retained / (retained + self.forgotten)
        return clipped_vector(share * descent, self.clip), clipped_vector(descent, self.clip)

    def _forget_gradient(self, block: ClientBlock, theta: Tensor, row: int) -> Tensor:
        """Compute ∇f_forget [d] of u, which has not erased yet."""
        assert block.before_erasure is not None
        weights = [
            torch.zeros_like(full.weight).masked_fill_((full.weight > 0) & (retained.weight == 0), 1.0 / self.forgotten)
            for full, retained in zip(block.before_erasure.buckets, block.buckets, strict=True)
        ]
        counted = np.full(len(block.nodes), self.forgotten)
        minibatch = Minibatch(tuple(weights), only_row(block, row), counted)
        return block.before_erasure.gradient(theta, minibatch)[row].to(torch.float64)

    def _minibatch_gradient(self, block: ClientBlock, theta: Tensor, row: int, round: int) -> Tensor:
        """Compute [d], the mean gradient of the holder's minibatches, or its full gradient."""
        samples, participating = int(block.samples_held[row]), only_row(block, row)
        if not self.batch or not samples:
            return block.gradient(theta, Minibatch(participating=participating))[row]
        size = min(self.batch, samples)
        rng = rng_at(self.address.seed, Stream.TOKEN, round, 1 + block.nodes[row])
        counts = np.zeros(samples)
        for _ in range(self.minibatches):
            counts[rng.choice(samples, size, replace=False)] += 1
        weights = []
        for bucket in block.buckets:
            weight = torch.zeros_like(bucket.weight)
            for k, of in enumerate(bucket.rows.tolist()):
                if of == row:
                    weight[k, :samples] = torch.from_numpy(counts / (self.minibatches * size))
            weights.append(weight)
        # A sample that several minibatches have drawn counts as often.
        counted = np.full(len(block.nodes), self.minibatches * size)
        return block.gradient(theta, Minibatch(tuple(weights), participating, counted))[row]

    def _update(self, state: Tensor, row: int, round: int, gradient: Tensor) -> Tensor:
        """Return what the optimizer subtracts [d] for this gradient; its moments change in place."""
        home = self.holder(round) == self.home
        step_size = self.step_size if home or self.step_size_elsewhere is None else self.step_size_elsewhere
        if self.optimizer == "sgd" or (self.optimizer == "dual-as" and not home):
            return step_size * gradient
        d = len(gradient)
        stored_first, stored_second = state[row, -2 * d : -d], state[row, -d:]
        first = _FIRST * stored_first.to(torch.float64) + (1 - _FIRST) * gradient
        second = _SECOND * stored_second.to(torch.float64) + (1 - _SECOND) * gradient**2
        state[row, -2 * d : -d], state[row, -d:] = first.to(stored_first), second.to(stored_second)
        at = round - self.rounds.start
        up_to_now = zip(self.holders[: at + 1], self.works[: at + 1], strict=True)
        steps = sum(works and holder == self.holders[at] for holder, works in up_to_now)
        scale = torch.sqrt(second / (1 - _SECOND**steps)) + _TINY
        return step_size * (first / (1 - _FIRST**steps)) / scale
