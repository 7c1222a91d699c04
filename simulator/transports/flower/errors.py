"""The error of Flower runtimes."""


class FlowerError(ValueError):
    """A Flower app could not be run to its end."""
