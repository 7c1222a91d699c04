"""The round loop: has a network carry out a task, lets observers watch, and writes states down to go on from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.training.disturbance import Disturbances
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.sums import edges

#: How often, in a task, somebody looks at the network's state, and it is written down.
LOOKS = 20


@dataclass(frozen=True)
class Task:
    """A part of a run: what the clients do from one state they keep to another.

    Attributes:
        name: of the task; the states it leaves are kept under names that begin with it.
        requests_met: what the clients work on.
        begin: the name of the state to begin from; None where `prepare` makes one.
        prepare: what every client does by itself, before the first round.
        exchanges: the rounds.
        start: the number of rounds that the network has behind it at the beginning.
        keep: the numbers of rounds after which the state is kept.
        measured: the disturbances to measure on the way begin with these.
        remaining: the network without those who are going to leave, if what they change is to be measured as well.
    """

    name: str
    requests_met: int
    begin: str | None
    prepare: tuple[LocalStep, ...]
    exchanges: tuple[CommunicationStep, ...]
    start: int
    keep: frozenset[int]
    measured: Disturbances = field(default_factory=dict)
    remaining: Mixing | None = None

    @property
    def end(self) -> int:
        """The number of rounds that the network has behind it at the end."""
        return self.start + sum(len(step.rounds) for step in self.exchanges)

    def changed(self, round: int, W: csr_array) -> csr_array | None:
        """W − W' of a round, without its zeros."""
        if self.remaining is None:
            return None
        changed = csr_array(W - self.remaining.matrix(round))
        changed.eliminate_zeros()
        return changed

    def checkpoint_name(self, rounds: int) -> str:
        """The name of the state after so many rounds."""
        return f"{self.name}-{rounds:06d}"

    def looked_at(self, rounds: int) -> bool:
        """Whether somebody looks at the state after so many rounds."""
        done, total = rounds - self.start, self.end - self.start
        return rounds in self.keep or rounds == self.end or done % max(1, total // LOOKS) == 0


class Callback(Protocol):
    """Sees a task being carried out."""

    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """A round is over.

        Args:
            task: what is being carried out.
            step: what the round is part of.
            round: its address.
            W: who heard whom in it.
            theta: [N, d] after it at the root, [0, d] elsewhere; None after most rounds.
            repeated: whether it was over before, and an earlier process had written down what it gave.
        """


class Journal(Protocol):
    """States of unfinished tasks, written down so that another process can go on from them."""

    def names(self) -> Sequence[str]:
        """What there is."""

    def read(self, name: str) -> Mapping[str, Tensor]:
        """The tensors written under this name."""

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors down, whole or not at all."""

    def remove(self, name: str) -> None:
        """Forget them."""


class NoJournal:
    """Keeps nothing: for processes that are not the root."""

    def names(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def read(self, name: str) -> Mapping[str, Tensor]:
        """There is nothing to read."""
        raise KeyError(name)

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Forget at once."""

    def remove(self, name: str) -> None:
        """There is nothing to remove."""


@dataclass(frozen=True)
class _Progress:
    """How far a task had come: rounds behind it, the states kept, what was measured, and the seconds it took."""

    rounds: int
    kept: tuple[int, ...]
    measured: Disturbances
    seconds: float


def execute(
    network: Network, task: Task, mixing: Mixing, callbacks: Sequence[Callback] = (), journal: Journal | None = None
) -> tuple[csr_array, float]:
    """Have a network carry out a task, from where it was left if it was begun before.

    Args:
        network: does it.
        task: what to do.
        mixing: the network's mixing matrices.
        callbacks: watch.
        journal: where states are written down; without one nothing is, and nobody looks at them. It is there in all
            processes of a network or in none, but only the root's is written to.

    Returns:
        the messages carried over every edge [N, N], as `Network.carried` counts them; the seconds it took.
    """
    began = perf_counter()
    progress = None if journal is None else _resume(network, task, journal)
    scribe = _Scribe(network, task, journal, progress)
    if progress is None:
        network.begin(task.requests_met, task.begin, task.measured)
        for local in task.prepare:
            network.apply(local)
        theta = scribe.look(task.start)
        if theta is not None:
            scribe.write(task.start, theta)
    rounds, behind = task.start, -1 if progress is None else progress.rounds
    skipped = csr_array((mixing.nodes, mixing.nodes), dtype=np.int64)
    for step in task.exchanges:
        for round in step.rounds:
            W, repeated, theta = step.matrix(round, mixing), rounds < behind, None
            rounds += 1
            if repeated:
                skipped += edges(W)
            else:
                network.exchange(step, round, W, task.changed(round, W))
                theta = scribe.look(rounds)
            for callback in callbacks:
                callback.after_round(task, step, round, W, theta, repeated)
            if theta is not None:
                scribe.write(rounds, theta)
    spent = perf_counter() - began + (0.0 if progress is None else progress.seconds)
    return skipped + network.carried(), spent


class _Scribe:
    """Keeps the states that a task leaves, and writes them and the latest one down."""

    def __init__(self, network: Network, task: Task, journal: Journal | None, progress: _Progress | None) -> None:
        self._network, self._task, self._journal = network, task, journal
        self._began, self._before = perf_counter(), 0.0 if progress is None else progress.seconds
        self._latest: str | None = (
            None if progress is None or progress.rounds in task.keep else task.checkpoint_name(progress.rounds)
        )

    def look(self, rounds: int) -> Tensor | None:
        """Keep the state after so many rounds if it is asked for, and fetch it if somebody looks at it."""
        if rounds in self._task.keep:
            self._network.keep(self._task.checkpoint_name(rounds))
        wanted = self._journal is not None and self._task.exchanges and self._task.looked_at(rounds)
        return self._network.fetch() if wanted else None

    def write(self, rounds: int, theta: Tensor) -> None:
        """Write the state after so many rounds down, in place of the latest that need not be kept."""
        measured = self._network.disturbances() if self._task.measured else {}
        if not self._network.root or self._journal is None:
            return
        seconds = torch.tensor(self._before + perf_counter() - self._began, dtype=torch.float64)
        ledger = {f"disturbance-{node}": torch.from_numpy(own) for node, own in measured.items()}
        checkpoint_name = self._task.checkpoint_name(rounds)
        self._journal.write(checkpoint_name, {"theta": theta, "seconds": seconds, **ledger})
        if self._latest is not None:
            self._journal.remove(self._latest)
        self._latest = None if rounds in self._task.keep else checkpoint_name


def _resume(network: Network, task: Task, journal: Journal) -> _Progress | None:
    """Put the network where an earlier process left this task; None if there is nothing to go on from."""
    progress = network.agree(_written_progress(task, journal) if network.root else None)
    if progress is None:
        return None
    for rounds in progress.kept:
        network.store(
            task.checkpoint_name(rounds),
            journal.read(task.checkpoint_name(rounds))["theta"] if network.root else torch.empty(0),
        )
    network.begin(task.requests_met, task.checkpoint_name(progress.rounds), progress.measured or None)
    if progress.rounds not in task.keep:
        network.drop(task.checkpoint_name(progress.rounds))
    return progress


def _written_progress(task: Task, journal: Journal) -> _Progress | None:
    written = set(journal.names())
    there = [rounds for rounds in range(task.start, task.end + 1) if task.checkpoint_name(rounds) in written]
    if not there or not {rounds for rounds in task.keep if rounds <= there[-1]} <= set(there):
        return None
    latest = journal.read(task.checkpoint_name(there[-1]))
    kept = tuple(rounds for rounds in there if rounds in task.keep or rounds == there[-1])
    measured = {node: latest[f"disturbance-{node}"].numpy() for node in task.measured}
    return _Progress(there[-1], kept, measured, float(latest["seconds"]))
