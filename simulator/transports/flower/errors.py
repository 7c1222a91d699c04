"""The error of Flower runtimes."""


class FlowerError(ValueError):
    """A Flower app could not be run to its end."""


class LateError(FlowerError):
    """A process of a Flower app has not answered in time."""
