"""Show the progress of a study: what runs, what is finished or failed, and how long the rest will take."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from rewindnet.experiments.runs.progress import LiveProgress, Progress
from rewindnet.experiments.studies.attempt import Ending
from rewindnet.experiments.studies.points import Point


class Display:
    """Receives notifications about a study. This class shows nothing; subclasses override the methods."""

    def checking(self, count: int) -> None:
        """Notify that so many runs are checked before the first of them is made."""

    def begin(self, count: int, jobs: int) -> None:
        """Notify that runs are about to be made.

        Args:
            count: how many.
            jobs: how many of them go on at the same time.
        """

    def started(self, point: Point) -> Progress:
        """Notify that a run begins; return what is notified of its progress."""
        return Progress()

    def ended(self, point: Point, ending: Ending) -> None:
        """Notify that a run has ended."""

    def end(self) -> None:
        """Notify that no more runs are made."""


class EachRun(Display):
    """Gives every run a progress display of its own.

    Args:
        progress: makes the display of a run.
    """

    def __init__(self, progress: Callable[[], Progress]) -> None:
        self._progress = progress

    def started(self, point: Point) -> Progress:
        """Make the display of a run."""
        return self._progress()


class Terminal(Display):
    """Prints a line for every run, and draws bars where the console is a terminal.

    Args:
        console: the console.
    """

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        self._console = console
        self._bars = Bars(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._began, self._count, self._jobs, self._started, self._ended, self._failed = monotonic(), 0, 1, 0, 0, 0
        self._total = self._bars.add_task("study", total=None)

    def checking(self, count: int) -> None:
        """Say that runs are checked, which takes a while where their data are large."""
        if count > 1:
            self._print(f"checking {count} runs")

    def begin(self, count: int, jobs: int) -> None:
        """Show the bar of the study, if several runs go on at the same time."""
        self._began, self._count, self._jobs = monotonic(), count, jobs
        if jobs > 1:
            self._print(f"{count} runs, {jobs} at a time")
            if self._console.is_terminal:
                self._bars.reset(self._total, total=count)
                self._bars.start()

    def started(self, point: Point) -> Progress:
        """Print the name of the run, with its number and the time that is left."""
        self._started += 1
        self._print(f"{point.folder.name} ({self._started} of {self._count}){self._left()}")
        if self._jobs == 1:
            return LiveProgress(self._console)
        return _Bar(self._bars, point.folder.name) if self._console.is_terminal else Progress()

    def ended(self, point: Point, ending: Ending) -> None:
        """Advance the bar of the study; print a sentence about a run that failed."""
        self._ended += 1
        if ending.kind in ("failed", "machine"):
            self._failed += 1
            self._print(f"FAILED {point.folder.name}: {ending.sentence}")
        failed = f", {self._failed} failed" if self._failed else ""
        self._bars.update(self._total, advance=1, description=f"study{failed}{self._left()}")

    def end(self) -> None:
        """Remove the bars."""
        if self._bars.live.is_started:
            self._bars.stop()

    def _left(self) -> str:
        """Say about how long the runs that have not ended will take, by those that have."""
        if not self._ended:
            return ""
        rate = (monotonic() - self._began) / self._ended
        return f", about {duration(rate * (self._count - self._ended))} left"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


class _Bar(Progress):
    """The bar of one of several runs that go on at the same time.

    Args:
        bars: all bars.
        name: the name of the run.
    """

    def __init__(self, bars: Bars, name: str) -> None:
        self._bars, self._name = bars, name
        self._task = bars.add_task(name, total=None)

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bars.remove_task(self._task)

    def resumed(self, folder: Path) -> None:
        """Say that the run goes on."""
        self._name = f"{self._name}, continued"

    def phase(self, name: str, rounds: int | None) -> None:
        """Begin the bar anew."""
        self._bars.reset(self._task, total=rounds, description=f"{self._name}: {name}")

    def advance(self) -> None:
        """Advance the bar by one round."""
        self._bars.advance(self._task)


def duration(seconds: float) -> str:
    """Return a time in words: seconds below two minutes, minutes below two hours, and hours from there."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
