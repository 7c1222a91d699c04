"""Gather everything that keeps a scenario from running, so that one message names all of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rewindnet.errors import UserError
from rewindnet.experiments.plain_text import ITEM
from rewindnet.experiments.scenario.errors import ScenarioError


class Obstacles:
    """The obstacles of a scenario, each a sentence that says how to remove it.

    After an obstacle the checks go on as if it had been removed, so far as that is possible.
    """

    def __init__(self) -> None:
        self._found: dict[str, UserError] = {}

    def note(self, problem: UserError) -> None:
        """Add an obstacle; one that is known already is not repeated.

        Args:
            problem: the error whose message is the sentence.
        """
        self._found.setdefault(str(problem), problem)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Note what is refused in this context instead of raising it."""
        try:
            yield
        except UserError as problem:
            self.note(problem)

    @contextmanager
    def last_straw(self) -> Iterator[None]:
        """Raise what is refused in this context together with everything that was noted before.

        Raises:
            UserError: as `refuse`.
        """
        try:
            yield
        except UserError as problem:
            self.note(problem)
            self.refuse()

    def refuse(self) -> None:
        """Raise the obstacles that were noted; nothing happens if there are none.

        Raises:
            UserError: the only obstacle itself, or a message with a line for each of several.
        """
        if len(self._found) == 1:
            raise next(iter(self._found.values()))
        if self._found:
            lines = "".join(f"{ITEM}{sentence}" for sentence in self._found)
            raise ScenarioError(f"{len(self._found)} obstacles keep this scenario from running:{lines}")
