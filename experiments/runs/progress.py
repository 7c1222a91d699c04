"""How far a run has come, told while it runs."""

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """Is told how a run goes on. This one shows nothing; subclasses override what they show.

    It is a context: entered before the run is prepared, left when the run has ended, in whatever way.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def resumed(self, folder: Path) -> None:
        """The run that is in this folder goes on; otherwise it begins anew."""

    def phase(self, name: str, rounds: int | None) -> None:
        """A new part of the run begins.

        Args:
            name: of the part.
            rounds: that it takes; None if that is not known.
        """

    def advance(self) -> None:
        """A round is over."""


class LiveProgress(Progress):
    """A progress bar for each part of a run.

    Args:
        console: to draw on; nothing is drawn where it is no terminal.
    """

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._console = console
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task("prepare", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the bars."""
        self._bars.stop()

    def resumed(self, folder: Path) -> None:
        """Print where the run that goes on is."""
        self._console.print(f"going on with the run in {folder}", highlight=False, soft_wrap=True)

    def phase(self, name: str, rounds: int | None) -> None:
        """Begin a new bar."""
        self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=rounds)

    def advance(self) -> None:
        """Move the bar one round further."""
        self._bars.advance(self._task)
