"""Shapes: how a picture places the nodes of a graph of some family."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

#: All nodes on one circle in their order, or all but the node with the most links, which is in the centre.
Shape = Literal["circle", "hub"]
Family = TypeVar("Family", bound=Callable[..., Any])


def drawn_as(shape: Shape) -> Callable[[Family], Family]:
    """Let pictures place the nodes of a family's graphs in this shape: `@drawn_as("circle")`.

    Args:
        shape: of every graph of the family.
    """

    def mark(family: Family) -> Family:
        family.shape = shape  # type: ignore[attr-defined]
        return family

    return mark


def shape_of(family: object) -> Shape | None:
    """Return the shape of the graphs of a family; None where they have none in common.

    Args:
        family: an entry of `FAMILIES`.
    """
    return getattr(family, "shape", None)
