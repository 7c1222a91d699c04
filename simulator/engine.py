"""The round loop: it has a network carry out a task, lets callbacks watch, and writes states down to go on from."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from time import perf_counter

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.simulator.cost.meter import CostMeter
from rewindnet.simulator.journal import Journal, Progress, write_state, written_progress
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.sums import edges


class Callback(ABC):
    """Watches a task while it is carried out."""

    @abstractmethod
    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """See that a round is over.

        Args:
            task: what is being carried out.
            step: what the round is part of.
            round: its address.
            W: [N, N], its weights.
            theta: [N, d] after it at the root, [0, d] elsewhere; None after most rounds.
            repeated: whether it was over before, and an earlier process had written down what it gave.
        """


def execute(
    network: Network,
    task: Task,
    mixing: Mixing,
    callbacks: Sequence[Callback] = (),
    journal: Journal | None = None,
    meter: CostMeter | None = None,
) -> tuple[csr_array, float]:
    """Have a network carry out a task, from where it was left if it was begun before.

    Args:
        network: does it.
        task: what to do.
        mixing: the network's mixing matrices.
        callbacks: watch.
        journal: where states are written down; without one nothing is, and callbacks are shown none. It is there in
            all processes of a network or in none, but only the root's is written to.
        meter: counts what the task costs, at the root.

    Returns:
        the messages carried over every edge [N, N], as `Network.carried` counts them; the seconds it took.
    """
    began = perf_counter()
    progress = None if journal is None else _resume(network, task, journal, meter)
    states, counts = _StateWriter(network, task, journal, progress, meter), _GradientCounts(network, meter)
    if progress is None:
        network.begin(task.requests_met, task.begin, task.measured)
        if task.noisy:
            network.measure_noise({})
        for local in task.prepare:
            network.apply(local)
            counts.expect(None)
        theta = states.look(task.start)
        if theta is not None:
            counts.collect(everything=meter is not None)
            states.write(task.start, theta)
    rounds, behind = task.start, -1 if progress is None else progress.rounds
    skipped = csr_array((mixing.nodes, mixing.nodes), dtype=np.int64)
    for step in task.steps:
        for round in step.rounds:
            W, repeated, theta = step.mixing_matrix(round, mixing), rounds < behind, None
            rounds += 1
            if repeated:
                skipped += edges(W)
            else:
                network.run_round(step, round, W, task.changed(round, W))
                counts.expect(W)
                theta = states.look(rounds)
                counts.collect(everything=theta is not None and meter is not None)
            for callback in callbacks:
                callback.after_round(task, step, round, W, theta, repeated)
            if theta is not None:
                states.write(rounds, theta)
    counts.collect(everything=meter is not None)
    spent = perf_counter() - began + (0.0 if progress is None else progress.seconds)
    return skipped + network.carried(), spent


class _GradientCounts:
    """Hands the network's gradient counts to the meter, each with the matrix of its round."""

    def __init__(self, network: Network, meter: CostMeter | None) -> None:
        self._network, self._meter = network, meter
        self._expected: deque[csr_array | None] = deque()

    def expect(self, W: csr_array | None) -> None:
        """Await the counts of a round with these weights; None: of what the clients did by themselves."""
        self._expected.append(W)

    def collect(self, everything: bool) -> None:
        """Take in the counts that have come, or all that are awaited."""
        for gradients in self._network.gradients(everything):
            W = self._expected.popleft()
            if self._meter is not None:
                self._meter.count(W, gradients)
        if not self._network.root:
            self._expected.clear()


class _StateWriter:
    """Keeps the states that a task leaves, and writes them and the latest one down."""

    def __init__(
        self, network: Network, task: Task, journal: Journal | None, progress: Progress | None, meter: CostMeter | None
    ) -> None:
        self._network, self._task, self._journal, self._meter = network, task, journal, meter
        self._began, self._seconds_before = perf_counter(), 0.0 if progress is None else progress.seconds
        self._latest: str | None = (
            None if progress is None or progress.rounds in task.keep else task.checkpoint_name(progress.rounds)
        )

    def look(self, rounds: int) -> Tensor | None:
        """Keep the state after so many rounds if that is asked for; return it if it is to be written down."""
        if rounds in self._task.keep:
            self._network.keep(self._task.checkpoint_name(rounds))
        wanted = self._journal is not None and self._task.steps and self._task.looked_at(rounds)
        return self._network.fetch() if wanted else None

    def write(self, rounds: int, theta: Tensor) -> None:
        """Write the state after so many rounds down, in place of the latest that need not be kept."""
        measured = self._network.disturbances() if self._task.measured else {}
        noise = self._network.noise_logs() if self._task.noisy else {}
        if not self._network.root or self._journal is None:
            return
        seconds, name = self._seconds_before + perf_counter() - self._began, self._task.checkpoint_name(rounds)
        cost = {} if self._meter is None else self._meter.state()
        write_state(self._journal, name, theta, measured, seconds, cost, noise)
        if self._latest is not None:
            self._journal.remove(self._latest)
        self._latest = None if rounds in self._task.keep else name


def _resume(network: Network, task: Task, journal: Journal, meter: CostMeter | None) -> Progress | None:
    """Put the network and the meter where an earlier process left this task; None if there is nothing to go on from."""
    progress = network.agree(written_progress(task, journal) if network.root else None)
    if progress is None:
        return None
    if meter is not None:
        meter.restore(progress.cost)
    for rounds in progress.checkpoints:
        network.store(
            task.checkpoint_name(rounds),
            journal.read(task.checkpoint_name(rounds))["theta"] if network.root else torch.empty(0),
        )
    network.begin(task.requests_met, task.checkpoint_name(progress.rounds), progress.measured or None)
    if task.noisy:
        network.measure_noise(progress.noise)
    if progress.rounds not in task.keep:
        network.drop(task.checkpoint_name(progress.rounds))
    return progress
