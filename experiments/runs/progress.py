"""Show the progress of a run."""

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """Receives notifications about a run. This class shows nothing; subclasses override the methods.

    It is a context manager: it is entered before the run is prepared, and left when the run has ended or failed.
    """

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing; subclasses close what they have opened."""

    def resumed(self, folder: Path) -> None:
        """Notify that the unfinished run in a folder is continued.

        Args:
            folder: the run folder.
        """

    def phase(self, name: str, rounds: int | None) -> None:
        """Notify that a new phase of the run begins.

        Args:
            name: the name of the phase.
            rounds: the number of its rounds; None if it is not known.
        """

    def advance(self) -> None:
        """Notify that a round has ended."""

    def passed_over(self) -> None:
        """Notify that a round is not repeated, because an earlier process has finished it; by default as `advance`."""
        self.advance()


class LiveProgress(Progress):
    """Shows a progress bar for each phase of a run.

    Args:
        console: the console to draw on; nothing is drawn unless it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        counts = (TextColumn("{task.description:>12}", markup=False), BarColumn(), MofNCompleteColumn())
        columns = (*counts, TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("left", markup=False))
        self._console = console
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task("prepare", total=None)
        self._behind = 0

    def __enter__(self) -> Self:
        """Show the bars."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the bars."""
        self._bars.stop()

    def resumed(self, folder: Path) -> None:
        """Print the folder of the run that is continued."""
        self._console.print(f"continuing the run in {folder}", highlight=False, soft_wrap=True)

    def phase(self, name: str, rounds: int | None) -> None:
        """Replace the bar by a new one."""
        self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=rounds)
        self._behind = 0

    def advance(self) -> None:
        """Advance the bar by one round."""
        self._bars.advance(self._task)

    def passed_over(self) -> None:
        """Begin the bar, and the estimate of the time that is left, one round further on."""
        self._behind += 1
        self._bars.reset(self._task, completed=self._behind)
