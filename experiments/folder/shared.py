"""Share the states of learning and retraining among the runs of a study that learn the same from the same data.

Runs that delete the same share both. Runs that delete something else pass through the same models while they learn, and
share those; each of them measures by itself what its deletion changes on the way.
"""

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
from rewindnet.experiments.folder.lending import LendingJournal
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
#: What the names of folders for the models of every round begin with.
_MODELS = ".models-"


@dataclass(frozen=True)
class SharedLearning:
    """Where runs find and leave the states of their learning.

    Attributes:
        folder: the folder for the states.
        key: what the runs learn, from `learning_key`.
        rounds: the rounds of the checkpoints that one of the runs needs; none where no other run deletes the same.
        models: what runs learn whatever they delete, from `models_key`; empty where no other run learns that.
    """

    folder: Path
    key: str
    rounds: tuple[int, ...]
    models: str = ""

    def to_record(self) -> dict[str, Any]:
        """Return plain data, for another process."""
        return {
            "folder": str(self.folder.resolve()),
            "key": self.key,
            "rounds": list(self.rounds),
            "models": self.models,
        }

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "SharedLearning":
        """Read what `to_record` has returned."""
        return SharedLearning(Path(record["folder"]), record["key"], tuple(record["rounds"]), record["models"])

    @property
    def lines(self) -> Path:
        """The file with the lines of metrics.jsonl of the shared rounds."""
        return self.folder / "metrics.jsonl"

    @property
    def models_folder(self) -> Path:
        """The folder for the models of every round."""
        return models_folder(self.folder.parent, self.models)

    @property
    def keys(self) -> tuple[str, ...]:
        """What the run learns that others learn, too."""
        return (self.key,) * bool(self.rounds) + (self.models,) * bool(self.models)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders for what it shares."""
        return (self.folder,) * bool(self.rounds) + (self.models_folder,) * bool(self.models)


def models_folder(study: Path, key: str) -> Path:
    """Return the folder for the models of every round of learning.

    Args:
        study: the folder of the study.
        key: what is learned, from `models_key`.
    """
    return study / f"{_MODELS}{key[:16]}"


def learning_key(scenario: Scenario) -> str | None:
    """Return the sha256 of everything that learning and retraining depend on; None for a run that shares neither.

    With secret noise no states are stored; learning that goes on from releases depends on the methods; and where
    checkpoints come from elsewhere, or are computed again, there is nothing to share.
    """
    return _key(scenario, _ELSEWHERE)


def models_key(scenario: Scenario) -> str | None:
    """Return the sha256 of everything that the models of learning depend on, whatever is deleted.

    None for a run that shares them with none that deletes something else: with several requests, learning goes on
    without what was deleted, and clients that leave are measured by their neighbours.
    """
    several = len(scenario.deletion.each) > 1 or scenario.deletion.departure != "relay"
    return None if several else _key(scenario, (*_ELSEWHERE, "deletion"))


def _key(scenario: Scenario, elsewhere: tuple[str, ...]) -> str | None:
    """Return the sha256 of a scenario without some sections, of its inputs and of the code; None if it shares none."""
    learning = scenario.learning
    alone = learning.after_request == "continue-from-release" or learning.checkpoints or learning.checkpoints_from
    if alone or scenario.noise_is_secret:
        return None
    content = {
        "scenario": {key: value for key, value in scenario.plain().items() if key not in elsewhere},
        "inputs": hashes(input_files(scenario)),
        "versions": versions(),
        "code": code_sha256(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seconds_of(record: Mapping[str, Any], beginning: str) -> float:
    """Return the seconds that a run took for the phases whose names begin with this, by its `record.json`."""
    return float(sum(seconds for phase, seconds in record["seconds"].items() if phase.startswith(beginning)))


def lines_of(folder: Path, shared: SharedLearning | None) -> RoundLines:
    """Return the lines of metrics.jsonl that a run begins with: its own of an earlier process, and the shared ones."""
    own = (folder / UNFINISHED / "metrics.jsonl", folder / "metrics.jsonl")
    return RoundLines(own if shared is None else (*own, *(folder / "metrics.jsonl" for folder in shared.folders)))


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
    if shared is None:
        return own
    journal = _SharingJournal(own, lines, shared, say) if shared.rounds else own
    return LendingJournal(journal, shared.models_folder, shared.models, lines, say) if shared.models else journal


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
