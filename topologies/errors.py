"""The one error of this room."""


class TopologyError(ValueError):
    """A topology, mixing matrix or record that cannot be; the message says what is allowed."""
