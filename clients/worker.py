"""A worker executes steps on one block of clients, and holds their checkpoints.

A worker is the same on every transport. Clients store earlier states of their own as checkpoints, under names; other
processes get a checkpoint only when they request it.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from rewindnet.certificates.audits.noise.log import NoiseLogs
from rewindnet.clients.kept_states import KeptStates
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.disturbance import DisturbanceMeter, MeasuredDisturbances, Meter, ShiftMeter
from rewindnet.clients.training.gradient_counter import Counts, GradientCounter
from rewindnet.clients.training.noise_meter import NoiseMeter
from rewindnet.clients.training.sampling import Forget
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class ClientWorker:
    """The clients of one block.

    Args:
        full: the clients as they learn.
        forget: for each request, and for each deleting node of the network, the positions in its own data of all
            samples that are erased once the request is met; those of the requests before it among them.
        departed: the nodes of the network that have left once a request is met; they then hold nothing, not even a
            model.
        memory: bytes of memory for checkpoints, beyond which they are kept on disk; without it none is.

    Attributes:
        blocks: the clients after 0, 1, … requests; they hold no trace of what was erased, and only steps that need the
            forget set see those of before.
        requests_met: which of these they work on.
        theta: [b, d], their current parameters.
        optimizer_state: [b, s], what their optimizer carries on from step to step; s is 0 for plain descent.
        checkpoints: states [b, d + s] that they keep, by name: the optimizer's behind the parameters.
        memory: what else they keep from round to round of a step that is not resumable, by name.
    """

    def __init__(self, full: ClientBlock, *forget: Forget, departed: Collection[int] = (), memory: float = inf) -> None:
        self.full = full
        self.blocks = (full, *(full.without(erased) for erased in forget))
        self._deleting = [frozenset(erased) - frozenset(departed) for erased in forget]
        self._departed_rows = [row for row, node in enumerate(full.nodes) if node in departed]
        self.requests_met: int = 0
        self.theta = full.blank()
        self.optimizer_state = full.new_state()
        self.checkpoints: MutableMapping[str, Tensor] = KeptStates(memory)
        self.memory: dict[str, Tensor] = {}
        self._meter: Meter | None = None
        self._counter = GradientCounter(len(full.nodes))
        self._noise_meter: NoiseMeter | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes of the block."""
        return self.full.nodes

    def begin(self, requests_met: int, name: str | None, measured: MeasuredDisturbances | None = None) -> None:
        """Begin to work on the data after some requests, from a checkpoint (None: the first step makes the state).

        Args:
            requests_met: how many requests are met.
            name: of the checkpoint to begin from.
            measured: measure the disturbances of the deletion on the way, into a copy of these arrays.
        """
        self.theta, self.optimizer_state = self.full.blank(), self.full.new_state()
        self.memory.clear()
        if name is not None:
            self.take_up(self.checkpoints[name])
        self._noise_meter = None
        self.resume(requests_met, measured or {})
        self._empty_departed()

    @property
    def state(self) -> Tensor:
        """[b, k·d + s], the current parameters, or whatever a step keeps between rounds, and the optimizer's state."""
        return torch.cat([self.theta, self.optimizer_state], dim=1) if self.full.state_size else self.theta

    def take_up(self, state: Tensor) -> None:
        """Go on from a state, as `state` returns it, or as it was kept."""
        state = state.to(self.theta.dtype)
        width = state.shape[1] - self.full.state_size
        self.theta = state[:, :width].contiguous()
        self.optimizer_state = state[:, width:].clone()

    def models(self, name: str | None) -> Tensor:
        """Return the current parameters, or those of a checkpoint, without the optimizer's state."""
        if name is None:
            return self.theta
        state = self.checkpoints[name].to(self.theta.dtype)
        return state[:, : -self.full.state_size].contiguous() if self.full.state_size else state

    def resume(self, requests_met: int, measured: MeasuredDisturbances) -> None:
        """Continue on the data after some requests, from the current parameters; gradients are counted from zero."""
        self.requests_met = requests_met
        self._counter.drain()
        own = {node: measured[node] for node in self.nodes if node in measured}
        if not own:
            self._meter = None
        elif all(shifts.ndim == 1 for shifts in own.values()):
            self._meter = ShiftMeter(own)
        else:
            self._meter = DisturbanceMeter(self.blocks, requests_met, self._deleting, own)

    def apply(self, step: LocalStep) -> None:
        """Execute a local step on every client."""
        self.theta = step.apply(self._counting(self.blocks[self.requests_met]), self.theta)
        self._empty_departed()

    def message(self, step: CommunicationStep, round: int) -> Tensor:
        """Return the messages [b, d] of the clients in a round."""
        block = self._block_for(step, round)
        if round == step.rounds.start:
            self.theta = step.begin(block, self.theta)
        return step.message(block, self.theta, round, self._meter)

    def combine(self, step: CommunicationStep, round: int, mixed: Tensor) -> None:
        """Combine the weighted sums [b, d] of the received messages with the states of the clients."""
        self.theta = step.combine(self._block_for(step, round), self.theta, mixed, round, self._meter)

    def gradients_taken(self) -> tuple[Counts, Counts]:
        """Return [b], the per-sample gradients that steps have taken since the last call, measurements left out.

        Returns:
            All, and those of them that were taken for inner problems.
        """
        return self._counter.drain()

    def measure_noise(self, logs: NoiseLogs) -> None:
        """Measure the noise that the clients add from now on, until the next `begin`.

        Args:
            logs: what the nodes have measured of this task already.
        """
        self._noise_meter = NoiseMeter({node: logs[node] for node in self.nodes if node in logs})

    @property
    def measures_noise(self) -> bool:
        """Whether the clients measure the noise that they add."""
        return self._noise_meter is not None

    def noise_logs(self, erase: bool) -> NoiseLogs:
        """Return what was measured of the noise since `measure_noise`; then erase it, and measure no more, if asked."""
        logs = {} if self._noise_meter is None else self._noise_meter.logs()
        if erase:
            self._noise_meter = None
        return logs

    def measure_drift(self, round: int, changed: Tensor) -> None:
        """Measure the change in the mixed messages [b, d] that is due to departed clients."""
        if self._meter is not None:
            self._meter.mixing_drift(round, changed)

    def keep(self, name: str) -> None:
        """Keep the current state as a checkpoint."""
        self.checkpoints[name] = self.state

    def halve(self, name: str) -> None:
        """Keep a checkpoint in half precision from now on."""
        self.checkpoints[name] = self.checkpoints[name].half()

    def disturbances(self) -> MeasuredDisturbances:
        """Return the measurements since `begin`."""
        return {} if self._meter is None else self._meter.measured

    def _block_for(self, step: CommunicationStep, round: int) -> ClientBlock:
        """Return the block of clients that a step may use in a round."""
        block = self._counting(self.blocks[self.requests_met])
        if step.needs_forget_set:
            # What earlier requests have asked to be forgotten is erased by now.
            before = self._counting(self.blocks[max(0, self.requests_met - 1)])
            block = replace(block, before_erasure=before)
        names = step.required_checkpoints(round)
        if names:
            recalled = tuple(self._without_departed(self.models(name)) for name in names)
            block = replace(block, recalled_checkpoints=recalled)
        return block

    def _counting(self, block: ClientBlock) -> ClientBlock:
        state = self.optimizer_state if self.full.state_size else None
        return replace(
            block,
            counter=self._counter,
            noise_meter=self._noise_meter,
            optimizer_state=state,
            memory=self.memory,
        )

    def _empty_departed(self) -> None:
        self.theta = self._without_departed(self.theta)
        self.optimizer_state = self._without_departed(self.optimizer_state)

    def _without_departed(self, theta: Tensor) -> Tensor:
        """Return the same, but for the clients that have left: they hold nothing."""
        if not self._departed_rows or self.requests_met == 0:
            return theta
        theta = theta.clone()
        theta[self._departed_rows] = 0.0
        return theta
