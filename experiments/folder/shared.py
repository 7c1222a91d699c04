"""Share the states of learning and retraining among the runs of a study that learn the same from the same data."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.format import UNFINISHED
from rewindnet.experiments.folder.journal import FolderJournal
from rewindnet.experiments.folder.lines import RoundLines
from rewindnet.experiments.folder.sameness import code_sha256, versions
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.inputs import hashes, input_files
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.simulator.journal import Journal

#: The sections of a scenario on which neither learning nor retraining depends.
_ELSEWHERE = ("name", "unlearning", "measures", "audit", "record")
#: What the names of tasks of learning and retraining begin with, and those of their phases.
_TASKS, _PHASES = ("learned", "retrained"), ("learn", Retrain.name)


@dataclass(frozen=True)
class SharedLearning:
    """Where runs find and leave the states of their learning.

    Attributes:
        folder: the folder for the states.
        key: what the runs learn, from `learning_key`.
        rounds: the rounds of the checkpoints that one of the runs needs.
    """

    folder: Path
    key: str
    rounds: tuple[int, ...]

    def to_record(self) -> dict[str, Any]:
        """Return plain data, for another process."""
        return {"folder": str(self.folder.resolve()), "key": self.key, "rounds": list(self.rounds)}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "SharedLearning":
        """Read what `to_record` has returned."""
        return SharedLearning(Path(record["folder"]), record["key"], tuple(record["rounds"]))

    @property
    def lines(self) -> Path:
        """The file with the lines of metrics.jsonl of the shared rounds."""
        return self.folder / "metrics.jsonl"


def learning_key(scenario: Scenario) -> str | None:
    """Return the sha256 of everything that learning and retraining depend on; None for a run that shares neither.

    With secret noise no states are stored; learning that goes on from releases depends on the methods; and where
    checkpoints come from elsewhere, or are computed again, there is nothing to share.
    """
    learning = scenario.learning
    alone = learning.after_request == "continue-from-release" or learning.checkpoints or learning.checkpoints_from
    if alone or scenario.noise_is_secret:
        return None
    content = {
        "scenario": {key: value for key, value in scenario.plain().items() if key not in _ELSEWHERE},
        "inputs": hashes(input_files(scenario)),
        "versions": versions(),
        "code": code_sha256(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def learning_seconds(record: Mapping[str, Any]) -> float:
    """Return the seconds that a run took for learning and retraining, by its `record.json`."""
    return float(sum(seconds for phase, seconds in record["seconds"].items() if phase.startswith(_PHASES)))


def lines_of(folder: Path, shared: SharedLearning | None) -> RoundLines:
    """Return the lines of metrics.jsonl that a run begins with: its own of an earlier process, and the shared ones."""
    own = (folder / UNFINISHED / "metrics.jsonl", folder / "metrics.jsonl")
    return RoundLines(own if shared is None else (*own, shared.lines))


def journal_of(
    folder: Path, scenario: Scenario, lines: RoundLines, shared: SharedLearning | None, say: Callable[[str], None]
) -> Journal:
    """Return the journal of a run, which shares the states of its learning if there is where to.

    Args:
        folder: the run folder.
        scenario: the scenario of the run.
        lines: the lines of metrics.jsonl of the run.
        shared: where states are shared.
        say: is told about damaged states, in a sentence.
    """
    own = FolderJournal(folder, f"{computation_digest(scenario.plain())} {scenario.seed}", lines, say)
    return own if shared is None else _SharingJournal(own, lines, shared, say)


class _SharingJournal(Journal):
    """The journal of a run, with the states of learning and retraining that other runs have left."""

    def __init__(self, own: Journal, lines: RoundLines, shared: SharedLearning, say: Callable[[str], None]) -> None:
        self._own, self._lines, self._shared, self._say = own, lines, shared, say

    def names(self) -> list[str]:
        """Return the names of the states of the run, and of the shared ones."""
        return list(dict.fromkeys([*self._own.names(), *self._others().names()]))

    def read(self, name: str) -> Mapping[str, Tensor] | None:
        """Read a state of the run, or else the shared one."""
        return (self._own if name in self._own.names() else self._others()).read(name)

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write a state, and share it if it is a checkpoint of learning or retraining that is not shared yet."""
        self._own.write(name, tensors)
        kept = name.startswith(_TASKS) and int(name[-6:]) in self._shared.rounds
        if kept and name not in self._others().names():
            write(self._shared.lines, self._lines.of_phases(_PHASES))
            self._others().write(name, tensors)

    def remove(self, name: str) -> None:
        """Remove a state of the run that is no longer needed."""
        self._own.remove(name)

    def _others(self) -> FolderJournal:
        """Return the journal of the shared states as it is now; other processes may write to it, too."""
        return FolderJournal(self._shared.folder, self._shared.key, RoundLines([self._shared.lines]), self._say)
