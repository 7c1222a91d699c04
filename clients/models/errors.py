"""The error of models."""

from rewindnet.errors import UserError


class ModelError(UserError):
    """The model does not fit the data; the message says why."""
