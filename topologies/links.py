"""The links of graph files, as they are listed, before a graph is made of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Links:
    """The links of a graph file, as they are listed.

    Attributes:
        names: the names of the nodes, in the order of the file.
        pairs: the two names of each link.
        directed: whether the file says that links go one way.
    """

    names: list[str]
    pairs: Pairs
    directed: bool = False


def links_of(names: Iterable[Any], pairs: Iterable[tuple[Any, Any]], directed: bool = False) -> Links:
    """Return links whose nodes come in the order in which they are named first.

    Args:
        names: names of nodes, which may have links or not.
        pairs: the two names of each link.
        directed: whether links go one way.
    """
    texts = [(str(first), str(second)) for first, second in pairs]
    order = dict.fromkeys(map(str, names))
    order.update(dict.fromkeys(name for pair in texts for name in pair))
    return Links(list(order), texts, directed)


def suffix_of(path: str) -> str:
    """Return the suffix of a path in lower case, without a last .gz."""
    place = Path(path)
    return Path(place.stem if place.suffix.lower() == ".gz" else place.name).suffix.lower()
