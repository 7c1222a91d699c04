"""The journal: stored states of unfinished tasks, from which another process can continue."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.certificates.audits.noise.log import NoiseLog, NoiseLogs, log_width
from rewindnet.clients.training.disturbance import MeasuredDisturbances
from rewindnet.simulator.task import Task

_DISTURBANCE, _COST, _ROWS, _LAST = "disturbance-", "cost-", "noise-rows-", "noise-last-"


class Journal(ABC):
    """States of unfinished tasks, each a set of tensors under a name."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the names of all stored states."""

    @abstractmethod
    def read(self, name: str) -> Mapping[str, Tensor] | None:
        """Return the tensors of a state; None if it is not the one that was stored, which is said aloud."""

    @abstractmethod
    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Store the tensors of a state, atomically."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a state."""

    def lends(self, task: str) -> bool:
        """Return whether other runs are to have the states of a task, after each of its rounds; false by default."""
        return False

    def lend(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Store the tensors of a state for other runs alone; nothing by default."""

    def lent(self) -> Sequence[str]:
        """Return the names of the states that other runs have lent; none by default."""
        return ()

    def borrow(self, name: str) -> Mapping[str, Tensor] | None:
        """Return the tensors of a state that another run has lent; None if it is not the one that was stored."""
        return None


class NoJournal(Journal):
    """A journal that stores nothing, for processes other than the root."""

    def names(self) -> Sequence[str]:
        """Return no name."""
        return ()

    def read(self, name: str) -> None:
        """Return None: there is nothing to read."""

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write nothing."""

    def remove(self, name: str) -> None:
        """Remove nothing."""


@dataclass(frozen=True)
class Progress:
    """The progress of a task.

    Attributes:
        rounds: the number of completed rounds.
        checkpoints: the rounds of all stored states, including the latest.
        measured: the disturbances measured so far.
        seconds: the seconds that it has taken so far.
        cost: the state of the meter.
        noise: what the nodes have measured of their noise.
    """

    rounds: int
    checkpoints: tuple[int, ...]
    measured: MeasuredDisturbances
    seconds: float
    cost: Mapping[str, Tensor]
    noise: NoiseLogs


def write_state(
    write: Callable[[str, Mapping[str, Tensor]], None],
    name: str,
    theta: Tensor,
    measured: MeasuredDisturbances,
    seconds: float,
    cost: Mapping[str, Tensor],
    noise: NoiseLogs,
) -> None:
    """Store the state of a task.

    Args:
        write: `Journal.write`, or `Journal.lend`.
        name: the name of the state.
        theta: [N, d], the models.
        measured: the disturbances measured so far.
        seconds: the seconds that the task has taken so far.
        cost: the state of the meter.
        noise: what the nodes have measured of their noise.
    """
    write(
        name,
        {
            "theta": theta,
            "seconds": torch.tensor(seconds, dtype=torch.float64),
            **{f"{_DISTURBANCE}{node}": torch.from_numpy(own) for node, own in measured.items()},
            **{f"{_COST}{key}": value for key, value in cost.items()},
            **{f"{_ROWS}{node}": torch.from_numpy(log.rows.flatten()) for node, log in noise.items()},
            **{f"{_LAST}{node}": torch.from_numpy(log.last) for node, log in noise.items()},
        },
    )


def write_borrowed(journal: Journal, name: str, borrowed: Mapping[str, Tensor], measured: MeasuredDisturbances) -> None:
    """Store a state that another run has lent, with what this one has measured."""
    own = {f"{_DISTURBANCE}{node}": torch.from_numpy(values) for node, values in measured.items()}
    rest = {key: tensor for key, tensor in borrowed.items() if not key.startswith(_DISTURBANCE)}
    journal.write(name, rest | own)


def written_progress(task: Task, journal: Journal) -> Progress | None:
    """Return the progress of a task in the journal, up to its first damaged state; None if there is no state of it."""
    names, written, latest = set(journal.names()), list[int](), None
    for rounds in range(task.start, task.end + 1):
        if task.checkpoint_name(rounds) in names:
            state = journal.read(task.checkpoint_name(rounds))
            if state is None:
                break
            written, latest = [*written, rounds], state
    if latest is None or not {rounds for rounds in task.keep if rounds <= written[-1]} <= set(written):
        return None
    return Progress(
        rounds=written[-1],
        checkpoints=tuple(rounds for rounds in written if rounds in task.keep or rounds == written[-1]),
        measured={node: latest[f"{_DISTURBANCE}{node}"].numpy() for node in task.measured},
        seconds=float(latest["seconds"]),
        cost=cost_in(latest),
        noise={int(key.removeprefix(_LAST)): _log(latest, key) for key in latest if key.startswith(_LAST)},
    )


def cost_in(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of the meter that was stored with a state."""
    return {key.removeprefix(_COST): value for key, value in state.items() if key.startswith(_COST)}


def _log(tensors: Mapping[str, Tensor], key: str) -> NoiseLog:
    """Return what a node has measured of its noise, given the key of its last vector."""
    last, rows = tensors[key].numpy(), tensors[_ROWS + key.removeprefix(_LAST)].numpy()
    return NoiseLog(rows.reshape(-1, log_width(len(last))), last)
