"""A network with a block of clients in each process: all clients in one process, or a block on every rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.audits.noise.log import NoiseLogs
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.training.disturbance import MeasuredDisturbances
from rewindnet.clients.training.gradient_counter import Counts, RoundGradients
from rewindnet.clients.worker import ClientWorker
from rewindnet.late import torch
from rewindnet.simulator.transports.base import Job, Transport
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.wire import InProcess, Wire

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

#: Rounds whose gradient counts are gathered at a time.
_TOGETHER = 16


class WorkerNetwork(Network):
    """A network made of a worker in each process, and the wire that joins them.

    Args:
        worker: the clients of this process.
        wire: carries their messages.
    """

    def __init__(self, worker: ClientWorker, wire: Wire) -> None:
        self.worker, self.wire = worker, wire
        self.root = wire.root
        self._ungathered: list[tuple[Counts, Counts, Counts, Counts]] = []

    def begin(self, requests_met: int, name: str | None, measured: MeasuredDisturbances | None = None) -> None:
        """Have the clients of this process get ready, and forget counts that were not asked for."""
        self.wire.begin()
        self.worker.begin(requests_met, name, measured)
        self._ungathered.clear()

    def apply(self, step: LocalStep) -> None:
        """Have every client of this process carry out a step by itself."""
        self.worker.apply(step)
        taken, inner = self.worker.gradients_taken()
        self._ungathered.append((taken, np.zeros_like(taken), inner, np.zeros_like(taken)))

    def run_round(self, step: CommunicationStep, round: int, W: csr_array, changed: csr_array | None = None) -> None:
        """Run one round, with the sums that the wire brings."""
        messages = self.worker.message(step, round)
        before, inner_before = self.worker.gradients_taken()
        size = np.full_like(before, messages.shape[1] * messages.element_size())
        if changed is not None:
            self.worker.measure_drift(round, self.wire.mix(messages, changed, counted=False))
        self.worker.combine(step, round, self.wire.mix(messages, W))
        after, inner_after = self.worker.gradients_taken()
        self._ungathered.append((before, after, inner_before + inner_after, size))

    def gradients(self, everything: bool = False) -> list[RoundGradients]:
        """Return the gradient counts of several rounds at a time, from all processes."""
        rounds = len(self._ungathered)
        if not rounds or (rounds < _TOGETHER and not everything):
            return []
        own = np.stack([counts for of_round in self._ungathered for counts in of_round], axis=1)
        self._ungathered.clear()
        counts = self.wire.gather(torch.from_numpy(own)).numpy()
        if not self.root:
            return []
        of_rounds = (counts[:, 4 * k : 4 * k + 4].T for k in range(rounds))
        return [
            RoundGradients(before, after, inner, int(size.max(initial=0))) for before, after, inner, size in of_rounds
        ]

    def keep(self, name: str) -> None:
        """Have every client of this process keep its current state."""
        self.worker.keep(name)

    def halve(self, name: str) -> None:
        """Have every client of this process keep a state in half precision."""
        self.worker.halve(name)

    def drop(self, name: str) -> None:
        """Have every client of this process forget a state."""
        del self.worker.checkpoints[name]

    def fetch(self, name: str | None = None) -> Tensor:
        """Gather models from all processes."""
        return self.wire.gather(self.worker.models(name))

    def state(self) -> Tensor:
        """Gather the current state from all processes."""
        return self.wire.gather(self.worker.state)

    def store(self, name: str, theta: Tensor) -> None:
        """Scatter a state to all processes."""
        self.worker.checkpoints[name] = self.wire.scatter(theta, self.worker.full.blank())

    def disturbances(self) -> MeasuredDisturbances:
        """Return the measurements of all processes."""
        return {node: own for part in self.wire.collect(self.worker.disturbances()) for node, own in part.items()}

    def measure_noise(self, logs: NoiseLogs) -> None:
        """Have the clients of this process measure the noise that they add."""
        self.worker.measure_noise(logs)

    def noise_logs(self, erase: bool = False) -> NoiseLogs:
        """Return the measurements of all processes."""
        return {node: own for part in self.wire.collect(self.worker.noise_logs(erase)) for node, own in part.items()}

    def carried(self) -> csr_array:
        """Return the messages that the wire has counted."""
        return self.wire.carried()

    def agree(self, value: T) -> T:
        """Return the root's value."""
        return self.wire.agree(value)


class OneProcess(Transport):
    """All clients in this process."""

    one_process = True

    def execute(self, job: Job) -> None:
        """Run the job in this process."""
        wire = InProcess(job.nodes, job.precision)
        job.run(WorkerNetwork(job.worker(wire.nodes), wire))
