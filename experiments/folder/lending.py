"""The journal of a run whose models of learning other runs of a study follow, which delete something else."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.journal import FolderJournal
from rewindnet.experiments.folder.lines import RoundLines
from rewindnet.simulator.journal import Journal

#: The task whose states are lent, and the phase whose lines are.
_TASK, _PHASE = "learned", "learn"


class LendingJournal(Journal):
    """The journal of a run, which lends the models of every round of learning, or borrows those of another run.

    Args:
        own: of the run.
        folder: for the states that are lent.
        key: what they are states of.
        lines: the lines of metrics.jsonl of the run.
        say: is told about damaged states, in a sentence.
    """

    def __init__(self, own: Journal, folder: Path, key: str, lines: RoundLines, say: Callable[[str], None]) -> None:
        self._own, self._lines = own, lines
        self._folder, self._key, self._say = folder, key, say

    def names(self) -> Sequence[str]:
        """Return the names of the states of the run."""
        return self._own.names()

    def read(self, name: str) -> Mapping[str, Tensor] | None:
        """Read a state of the run."""
        return self._own.read(name)

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write a state, and lend it if it is one of learning."""
        self._own.write(name, tensors)
        if self.lends(name.rpartition("-")[0]):
            self.lend(name, tensors)

    def remove(self, name: str) -> None:
        """Remove a state of the run that is no longer needed."""
        self._own.remove(name)

    def lends(self, task: str) -> bool:
        """Return whether a task is learning."""
        return task == _TASK

    def lend(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Lend a state that no run has lent yet, with the lines of the rounds before it."""
        if name not in self.lent():
            write(self._folder / "metrics.jsonl", self._lines.of_phase(_PHASE))
            self._all().write(name, tensors)

    def lent(self) -> Sequence[str]:
        """Return the names of the states that were lent by any run."""
        return self._all().names()

    def borrow(self, name: str) -> Mapping[str, Tensor] | None:
        """Return a state that was lent; None, and a sentence aloud, if it is damaged."""
        return self._all().read(name)

    def _all(self) -> FolderJournal:
        """Return the journal of what is lent, as it is now."""
        return FolderJournal(self._folder, self._key, RoundLines([self._folder / "metrics.jsonl"]), self._say)
