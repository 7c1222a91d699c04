"""The error about graph networks."""

from rewindnet.errors import UserError


class GraphError(UserError):
    """A graph, a model of its nodes or an unlearning method that cannot be used, in a sentence that says why."""
