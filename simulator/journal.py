"""The journal: states of unfinished tasks, written down so that another process can go on from them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.certificates.audits.noise import NoiseLog, NoiseLogs, log_width
from rewindnet.clients.training.disturbance import MeasuredDisturbances
from rewindnet.simulator.task import Task

_DISTURBANCE, _COST, _ROWS, _LAST = "disturbance-", "cost-", "noise-rows-", "noise-last-"

#: The tensors that every state of a run holds.
STATE_TENSORS = frozenset({"theta", "seconds", f"{_COST}counts", f"{_COST}clock"})


class Journal(ABC):
    """States of unfinished tasks, each a set of tensors under a name."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the names of the states that there are."""

    @abstractmethod
    def read(self, name: str) -> Mapping[str, Tensor]:
        """Return the tensors written under this name."""

    @abstractmethod
    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors down, whole or not at all."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget the state of this name."""


class NoJournal(Journal):
    """Keeps nothing: for processes that are not the root."""

    def names(self) -> Sequence[str]:
        """Return no name."""
        return ()

    def read(self, name: str) -> Mapping[str, Tensor]:
        """Refuse: there is nothing to read."""
        raise KeyError(name)

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write nothing."""

    def remove(self, name: str) -> None:
        """Remove nothing."""


@dataclass(frozen=True)
class Progress:
    """How far a task has come.

    Attributes:
        rounds: the number of rounds behind it.
        checkpoints: the numbers of rounds after which states were written down, the latest among them.
        measured: the disturbances up to now.
        seconds: that it has taken.
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
    journal: Journal,
    name: str,
    theta: Tensor,
    measured: MeasuredDisturbances,
    seconds: float,
    cost: Mapping[str, Tensor],
    noise: NoiseLogs,
) -> None:
    """Write the state of a task down.

    Args:
        journal: where.
        name: of the state.
        theta: [N, d].
        measured: the disturbances up to now.
        seconds: that the task has taken.
        cost: the state of the meter.
        noise: what the nodes have measured of their noise.
    """
    journal.write(
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


def written_progress(task: Task, journal: Journal) -> Progress | None:
    """Return how far a task had come by what the journal holds; None if there is nothing to go on from."""
    names = set(journal.names())
    written = [rounds for rounds in range(task.start, task.end + 1) if task.checkpoint_name(rounds) in names]
    if not written or not {rounds for rounds in task.keep if rounds <= written[-1]} <= set(written):
        return None
    latest = journal.read(task.checkpoint_name(written[-1]))
    return Progress(
        rounds=written[-1],
        checkpoints=tuple(rounds for rounds in written if rounds in task.keep or rounds == written[-1]),
        measured={node: latest[f"{_DISTURBANCE}{node}"].numpy() for node in task.measured},
        seconds=float(latest["seconds"]),
        cost={key.removeprefix(_COST): value for key, value in latest.items() if key.startswith(_COST)},
        noise={int(key.removeprefix(_LAST)): _log(latest, key) for key in latest if key.startswith(_LAST)},
    )


def _log(tensors: Mapping[str, Tensor], key: str) -> NoiseLog:
    """Return what a node has measured of its noise, given the key of its last vector."""
    last, rows = tensors[key].numpy(), tensors[_ROWS + key.removeprefix(_LAST)].numpy()
    return NoiseLog(rows.reshape(-1, log_width(len(last))), last)
