"""What can go wrong with a run and with a transport."""

from rewindnet.errors import UserError


class TransportError(UserError):
    """The transport cannot do this here; the message says what it can do. Nothing has been begun."""


class BrokenTransportError(RuntimeError):
    """Something that carries a running network's messages has failed; the message says what."""


class RunError(RuntimeError):
    """A run that began could not be finished; its folder is marked incomplete, and the message says why."""
