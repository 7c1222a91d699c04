"""Errors of runs and of transports."""

from rewindnet.errors import UserError


class TransportError(UserError):
    """The transport cannot run this scenario here; the message says what it can run. Nothing has been started."""


class BrokenTransportError(RuntimeError):
    """A process or connection of the transport has failed during a run; the message says which."""


class RunError(RuntimeError):
    """A run that began could not be finished; its folder is incomplete, and the message gives the reason."""
