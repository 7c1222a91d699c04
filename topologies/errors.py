"""The error of this package: a topology that cannot be built or read."""

from rewindnet.errors import UserError


class TopologyError(UserError):
    """An invalid topology, mixing matrix, schedule or record; the message says what is allowed."""
