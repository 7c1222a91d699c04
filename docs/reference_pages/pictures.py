"""Pictures of the concepts, drawn from what the program computes."""

from collections.abc import Callable

PICTURES: dict[str, Callable[[], str]] = {}
