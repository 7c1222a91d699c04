"""The error about a scenario."""

from rewindnet.errors import UserError


class ScenarioError(UserError):
    """A scenario is not valid; the message says what was given and what is allowed."""
