"""Tasks: the parts of a run, which a network executes one after another."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates import Mixing, Release
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.disturbance import MeasuredDisturbances

#: How often the network's state is looked at and written down from the first round to the end of a task.
LOOKS = 20


@dataclass(frozen=True)
class Task:
    """A part of a run: what the clients do from one state they keep to another.

    Attributes:
        name: of the task; the states it leaves are kept under names that begin with it.
        requests_met: how many requests are met in the data that the clients work on.
        begin: the name of the state to begin from; None where `prepare` makes one.
        prepare: what every client does by itself, before the first round.
        steps: the rounds.
        start: the number of rounds that the network has behind it at the beginning.
        keep: the numbers of rounds after which the state is kept.
        halved: those of them after which it is kept in half precision.
        measured: the disturbances to measure on the way begin with these.
        noisy: whether clients add noise on the way, which they are then to measure.
        remaining: the network without the nodes that are going to leave, if what they change is to be measured as well.
    """

    name: str
    requests_met: int
    begin: str | None
    prepare: tuple[LocalStep, ...]
    steps: tuple[CommunicationStep, ...]
    start: int
    keep: frozenset[int]
    halved: frozenset[int] = frozenset()
    measured: MeasuredDisturbances = field(default_factory=dict)
    noisy: bool = False
    remaining: Mixing | None = None

    @property
    def end(self) -> int:
        """The number of rounds that the network has behind it at the end."""
        return self.start + sum(len(step.rounds) for step in self.steps)

    def changed(self, round: int, W: csr_array) -> csr_array | None:
        """Return W − W' of a round, without its zeros; None where no node is going to leave."""
        if self.remaining is None:
            return None
        changed = csr_array(W - self.remaining.matrix(round))
        changed.eliminate_zeros()
        return changed

    def checkpoint_name(self, rounds: int) -> str:
        """Return the name of the state after so many rounds."""
        return f"{self.name}-{rounds:06d}"

    def looked_at(self, rounds: int) -> bool:
        """Return whether the state after so many rounds is looked at and written down.

        A task that begins late is looked at less often than learning, so that it costs no larger share of its rounds;
        and none between two rounds of a step that is not resumable.
        """
        done, every = rounds - self.start, max(1, self.end // LOOKS)
        if rounds in self.keep or rounds == self.end:
            return True
        return done > 0 and done % every == 0 and self._resumable(rounds)

    def _resumable(self, rounds: int) -> bool:
        """Return whether another process can go on after so many rounds."""
        first = self.start
        for step in self.steps:
            if first < rounds < first + len(step.rounds):
                return step.resumable
            first += len(step.rounds)
        return True


def task_from_noise_on(program: Program, release: Release, begin: str, index: int, request: int) -> Task:
    """Return what is done from the noise on."""
    return Task(
        name=f"{index}-{release.method}",
        requests_met=request + 1,
        begin=begin,
        prepare=program.noise,
        steps=program.finish,
        start=release.checkpoint_round + sum(len(step.rounds) for step in program.approach),
        keep=frozenset(),
        measured=no_shifts(program.watched, program.finish),
    )


def no_shifts(watched: Sequence[int], steps: Sequence[CommunicationStep]) -> MeasuredDisturbances:
    """Return zeros for the shifts of these nodes, in every round that these steps have addresses for."""
    end = max((step.rounds.stop for step in steps), default=0)
    return {node: np.zeros(end) for node in watched}
