"""The error of everything about topologies."""

from rewindnet.errors import UserError


class TopologyError(UserError):
    """A topology, mixing matrix or record that cannot be; the message says what is allowed."""
