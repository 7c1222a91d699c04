"""Contests: entries that do the same work, whose rounds are timed in turn in one run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, NamedTuple

#: The name of each reference that an entry may be: the keys of `all_references.REFERENCES`.
OURS = ""


class Entry(NamedTuple):
    """One row of a contest.

    Attributes:
        settings: the settings of the scenario that it overrides, as on the command line.
        reference: the name of a computation outside the simulator that does the same work; empty: the simulator.
        needs: the module of another simulator without which the entry is left out; empty: none.
    """

    settings: tuple[str, ...]
    reference: str = OURS
    needs: str = ""


@dataclass(frozen=True)
class Contest:
    """Entries whose rounds are timed in turn.

    Attributes:
        title: the title of the table.
        scenario: the scenario that all entries run.
        rounds: the number of rounds that are timed in each repetition.
        entries: the entries, by name; ratios are to the first.
        one_process: whether all entries compute in this process, so that its CPU time says what they cost, unless they
            compute on a GPU.
        needs_gpu: whether it is left out on a machine without a GPU, where it would take many minutes.
    """

    title: str
    scenario: Mapping[str, Any]
    rounds: int
    entries: Mapping[str, Entry]
    one_process: bool = True
    needs_gpu: bool = False

    @property
    def absent(self) -> list[str]:
        """The names of the entries for which another simulator would have to be installed."""
        return [name for name, entry in self.entries.items() if entry.needs and find_spec(entry.needs) is None]

    def here(self) -> "Contest":
        """Return the contest without these entries."""
        absent = self.absent
        return replace(self, entries={name: entry for name, entry in self.entries.items() if name not in absent})


class Timing(NamedTuple):
    """What a repetition of an entry took.

    Attributes:
        wall: seconds of a round, median of the timed rounds.
        cpu: CPU seconds of this process for a round, median likewise.
        memory: the most memory of the process while it ran, in bytes; on a GPU that of the device. None where the
            system does not tell.
    """

    wall: float
    cpu: float
    memory: int | None
