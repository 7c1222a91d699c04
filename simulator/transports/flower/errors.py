"""What goes wrong in a Flower runtime."""


class FlowerError(ValueError):
    """A Flower app could not be run to its end."""
