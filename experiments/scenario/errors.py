"""The errors about a scenario."""

from collections.abc import Iterable

from rewindnet.errors import UserError


class ScenarioError(UserError):
    """A scenario is not valid; the message says what was given and what is allowed."""


class UnknownKeyError(ScenarioError):
    """A section has a key that it does not take.

    Args:
        key: the key.
        where: the section, for the message.
        guess: what the user may have meant, for the message, or nothing.
        allowed: the keys that the section takes.
    """

    def __init__(self, key: str, where: str, guess: str, allowed: Iterable[str]) -> None:
        super().__init__(f"unknown key {key!r} {where}; allowed: {', '.join(allowed)}{guess}")
        self.key, self.where, self.guess, self.allowed = key, where, guess, tuple(allowed)
