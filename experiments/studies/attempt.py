"""Make one run of a study, and say how it ended."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from rewindnet.errors import UserError
from rewindnet.experiments.folder.lock import FolderBusyError
from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.runs.launch import run_in
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.studies.points import Point
from rewindnet.simulator.errors import MachineError, RunError, machine_failure


class Ending(NamedTuple):
    """How a run ended.

    Attributes:
        kind: `done`; `left` to another process; `failed`; or `machine`, where the machine failed under it and the same
            command goes on.
        sentence: the reason, if it is not done.
    """

    kind: Literal["done", "left", "failed", "machine"]
    sentence: str = ""


@dataclass
class Outcome:
    """What became of the runs that were to be made.

    Attributes:
        done: the finished ones.
        left: those that another process is making.
        failed: those that failed, each with its ending.
        seconds_saved: what they would have taken longer, had each of them learned by itself.
    """

    done: list[Point] = field(default_factory=list)
    left: list[Point] = field(default_factory=list)
    failed: list[tuple[Point, Ending]] = field(default_factory=list)
    seconds_saved: float = 0.0

    def note(self, point: Point, ending: Ending) -> None:
        """Note the ending of a run."""
        if ending.kind == "done":
            self.done.append(point)
        elif ending.kind == "left":
            self.left.append(point)
        else:
            self.failed.append((point, ending))


def attempt(
    scenario: Scenario,
    folder: Path,
    force: bool,
    progress: Progress,
    command: list[str] | None,
    shared: SharedLearning | None,
) -> Ending:
    """Run a scenario into a folder; whatever keeps it from being finished is its ending, and not an error.

    Args:
        scenario: the scenario.
        folder: the run folder.
        force: overwrite an earlier run there.
        progress: is notified of every phase and round.
        command: the command to record; that of this process by default.
        shared: where the states of learning are shared with other runs.
    """
    try:
        run_in(scenario, folder, force, progress, command, shared)
    except FolderBusyError as problem:
        return Ending("left", str(problem))
    except MachineError as problem:
        return Ending("machine", str(problem))
    except (UserError, RunError) as problem:
        return Ending("failed", str(problem))
    except Exception as problem:
        # One run must not end the others, whatever is wrong with it or with the program.
        failure = machine_failure(problem)
        named = f"{type(problem).__name__}: {problem}"
        return Ending("failed", named) if failure is None else Ending("machine", failure)
    return Ending("done")
