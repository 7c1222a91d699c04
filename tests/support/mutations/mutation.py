"""One mutation of the code: which text becomes which, whom it concerns, and what should notice."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]


class StaleMutationError(Exception):
    """The text that a mutation replaces is not there exactly once; the message says what to do."""


@dataclass(frozen=True)
class Mutation:
    """A wrong that somebody might write.

    Attributes:
        name: what is wrong, in a few words.
        methods: the unlearning methods whose promise it breaks.
        file: the file, from the root of the repository.
        old: the text that is replaced; it must be in the file exactly once.
        new: what takes its place.
        scenario: the run that exercises it, by its name in `mutations.scenarios`.
        tests: the fast tests that are tried if a run and its verification notice nothing: files or single tests, from
            `tests/`.
    """

    name: str
    methods: tuple[str, ...]
    file: str
    old: str
    new: str
    scenario: str
    tests: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module that the mutation changes."""
        return "rewindnet." + self.file.removesuffix(".py").replace("/", ".")

    def mutated(self, root: Path) -> str:
        """Return the text of the file with the wrong in it.

        Args:
            root: of a copy of the repository.

        Raises:
            StaleMutationError: if the text to replace is not in the file exactly once, or what results is no Python.
        """
        path = root / self.file
        if not path.is_file():
            raise StaleMutationError(self._stale(f"there is no file {self.file}"))
        text = path.read_text(encoding="utf-8")
        if (times := text.count(self.old)) != 1:
            elsewhere = "" if times else _elsewhere(root, self.old)
            raise StaleMutationError(
                self._stale(f"its text is in {self.file} {times} times{elsewhere}; the text is\n{self.old}")
            )
        result = text.replace(self.old, self.new)
        try:
            compile(result, self.file, "exec")
        except SyntaxError as problem:
            raise StaleMutationError(self._stale(f"what it makes of {self.file} is no Python: {problem}")) from None
        return result

    def _stale(self, problem: str) -> str:
        return (
            f"the mutation {self.name!r} must be brought up to date in tests/support/mutations/lists (the file and the "
            f"old text of the same wrong, wherever that code is now): {problem}"
        )


def _elsewhere(root: Path, text: str) -> str:
    """Return where the text is now, in words; nothing if it is nowhere."""
    folders = ("certificates", "clients", "experiments", "simulator", "topologies")
    files: Iterable[Path] = (file for folder in folders for file in sorted((root / folder).rglob("*.py")))
    found = [str(file.relative_to(root)) for file in files if text in file.read_text(encoding="utf-8")]
    return f", but it is in {', '.join(found)}" if found else ""
