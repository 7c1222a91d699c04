"""The round loop: executes a task on a network, notifies callbacks, and stores states for resumption."""

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
from rewindnet.simulator.following import follow
from rewindnet.simulator.journal import Journal, Progress, cost_in, write_state, written_progress
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.sums import edges


class Callback(ABC):
    """Receives notifications while a task is executed."""

    @abstractmethod
    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """Receive the end of a round.

        Args:
            task: what is being carried out.
            step: what the round is part of.
            round: the address of the round.
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
    """Execute a task on a network, from its last stored state if an earlier process began it.

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
    if progress is None and journal is not None and follow(network, task, mixing, journal):
        progress = _resume(network, task, journal, meter)
    states, counts = _StateWriter(network, task, journal, progress, meter), _GradientCounts(network, meter)
    if progress is None:
        _begin(network, task, counts)
        theta = states.look(task.start)
        if theta is not None:
            counts.collect(everything=meter is not None)
            states.write(task.start, theta)
        if meter is not None and task.start in task.keep:
            meter.note(task.start, states.seconds)
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
                theta, kept = states.look(rounds), rounds in task.keep
                counts.collect(everything=(kept or theta is not None) and meter is not None)
                if kept and meter is not None:
                    meter.note(rounds, states.seconds)
            shown = theta if task.looked_at(rounds) else None
            for callback in callbacks:
                callback.after_round(task, step, round, W, shown, repeated)
            if theta is not None:
                states.write(rounds, theta)
    counts.collect(everything=meter is not None)
    spent = perf_counter() - began + (0.0 if progress is None else progress.seconds)
    return skipped + network.carried(), spent


def _begin(network: Network, task: Task, counts: "_GradientCounts") -> None:
    """Begin a task that no earlier process began, up to its first round."""
    network.begin(task.requests_met, task.begin, task.measured)
    if task.noisy:
        network.measure_noise({})
    for local in task.prepare:
        network.apply(local)
        counts.expect(None)


class _GradientCounts:
    """Passes the gradient counts of the network to the meter, each with the matrix of its round."""

    def __init__(self, network: Network, meter: CostMeter | None) -> None:
        self._network, self._meter = network, meter
        self._expected: deque[csr_array | None] = deque()

    def expect(self, W: csr_array | None) -> None:
        """Expect the counts of a round with these weights; None for a local step."""
        self._expected.append(W)

    def collect(self, everything: bool) -> None:
        """Pass on the counts that are available, or wait for all expected counts."""
        for gradients in self._network.gradients(everything):
            W = self._expected.popleft()
            if self._meter is not None:
                self._meter.count(W, gradients)
        if not self._network.root:
            self._expected.clear()


class _StateWriter:
    """Stores the checkpoints of a task and its latest state in the journal."""

    def __init__(
        self, network: Network, task: Task, journal: Journal | None, progress: Progress | None, meter: CostMeter | None
    ) -> None:
        self._network, self._task, self._journal, self._meter = network, task, journal, meter
        self._lends = journal is not None and network.agree(network.root and journal.lends(task.name))
        self._began, self._seconds_before = perf_counter(), 0.0 if progress is None else progress.seconds
        self._latest: str | None = (
            None if progress is None or progress.rounds in task.keep else task.checkpoint_name(progress.rounds)
        )

    @property
    def seconds(self) -> float:
        """The seconds that the task has taken so far, those of earlier processes included."""
        return self._seconds_before + perf_counter() - self._began

    def look(self, rounds: int) -> Tensor | None:
        """Keep the state after a number of rounds if it is a checkpoint; return it if it is to be stored or lent."""
        if rounds in self._task.keep:
            self._network.keep(self._task.checkpoint_name(rounds))
        if rounds in self._task.halved:
            self._network.halve(self._task.checkpoint_name(rounds))
        wanted = self._journal is not None and self._task.steps
        return self._network.state() if wanted and (self._lends or self._task.looked_at(rounds)) else None

    def write(self, rounds: int, theta: Tensor) -> None:
        """Store, or lend, the state after a number of rounds; it replaces the latest state that is not a checkpoint."""
        measured = self._network.disturbances() if self._task.measured else {}
        noise = self._network.noise_logs() if self._task.noisy else {}
        if not self._network.root or self._journal is None:
            return
        seconds, name = self.seconds, self._task.checkpoint_name(rounds)
        cost = {} if self._meter is None else self._meter.state()
        looked_at = self._task.looked_at(rounds)
        write_state(
            self._journal.write if looked_at else self._journal.lend, name, theta, measured, seconds, cost, noise
        )
        if not looked_at:
            return
        if self._latest is not None:
            self._journal.remove(self._latest)
        self._latest = None if rounds in self._task.keep else name


def _resume(network: Network, task: Task, journal: Journal, meter: CostMeter | None) -> Progress | None:
    """Restore the network and the meter from the state of an earlier process; return None if there is none."""
    progress = network.agree(written_progress(task, journal) if network.root else None)
    if progress is None:
        return None
    for rounds in progress.checkpoints:
        state = journal.read(task.checkpoint_name(rounds)) if network.root else None
        network.store(task.checkpoint_name(rounds), torch.empty(0) if state is None else state["theta"])
        if meter is not None and rounds in task.keep:
            if state is not None:
                meter.restore(cost_in(state))
            meter.note(rounds, 0.0 if state is None else float(state["seconds"]))
    if meter is not None:
        meter.restore(progress.cost)
    network.begin(task.requests_met, task.checkpoint_name(progress.rounds), progress.measured or None)
    if task.noisy:
        network.measure_noise(progress.noise)
    if progress.rounds not in task.keep:
        network.drop(task.checkpoint_name(progress.rounds))
    # Learning goes on from the latest state as it was, so that states are rounded after it has begun.
    for rounds in sorted(task.halved.intersection(progress.checkpoints)):
        network.halve(task.checkpoint_name(rounds))
    return progress
