"""The error about a scenario."""

from rewindnet.errors import UserError


class ScenarioError(UserError):
    """The scenario cannot be understood; the message says what is allowed."""
