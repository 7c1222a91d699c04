"""How far a run has come, told while it runs."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """Is told what goes on; this one keeps it to itself."""

    def phase(self, name: str, rounds: int | None) -> None:
        """A new part of the run begins; it takes so many rounds, if that is known."""

    def advance(self) -> None:
        """A round is over."""


class LiveProgress(Progress):
    """A progress bar for every part of a run."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self.bars.add_task("prepare", total=None)

    def phase(self, name: str, rounds: int | None) -> None:
        """A new bar."""
        self.bars.remove_task(self._task)
        self._task = self.bars.add_task(name, total=rounds)

    def advance(self) -> None:
        """One round further."""
        self.bars.advance(self._task)
