"""Read graphs from files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from rewindnet.reading import text_of
from rewindnet.topologies.errors import TopologyError

EDGE_LISTS = (".txt", ".edges", ".csv", ".tsv")


def graph_from_file(nodes: int, seed: int, *, path: str) -> nx.Graph:
    """Read a graph from an edge list (.txt, .edges, .csv, .tsv) or a .graphml file.

    An edge list has one link in each line: two node names, separated by a comma or else by whitespace. A third column,
    the weight that many tools write, must be a number and is ignored, because weights come from the mixing rule. `#`
    begins a comment. A link that is listed twice, or once in each direction, counts once. Names are integers or text;
    they are sorted naturally (2 before 10), numbered 0..N-1, and stored in the node attribute `name`.

    Args:
        nodes: N, the number of names that the file must have.
        seed: not used.
        path: the file.

    Raises:
        TopologyError: if the file is missing or of another kind, a line is not a link (the message has its number), a
            node is linked to itself, a graphml graph is directed, or the file does not have `nodes` names.
    """
    if Path(path).suffix.lower() == ".graphml":
        pairs, names = _graphml(path)
    elif Path(path).suffix.lower() in EDGE_LISTS:
        pairs = list(_links(path))
        names = {name for pair in pairs for name in pair}
    else:
        raise TopologyError(f"a topology is read from {', '.join(EDGE_LISTS)} or .graphml, not from '{path}'")
    if len(names) != nodes:
        raise TopologyError(f"'{path}' has {len(names)} nodes, but the network has {nodes}")
    number = {name: index for index, name in enumerate(sorted(names, key=_natural))}
    graph = nx.Graph()
    graph.add_nodes_from((index, {"name": name}) for name, index in number.items())
    graph.add_edges_from((number[first], number[second]) for first, second in pairs)
    return graph


def links_from_file(graph: nx.Graph, path: str) -> NDArray[np.int64]:
    """Read links [m, 2] between the nodes of an existing graph from an edge list.

    Names are the graph's own (its node attribute `name`), or else the numbers of its nodes.

    Args:
        graph: the graph.
        path: the file.

    Raises:
        TopologyError: if the file is missing, a line is not a link, or a name is not one of the graph's.
    """
    names = nx.get_node_attributes(graph, "name")
    number = {str(names.get(node, node)): node for node in graph}
    pairs = list(_links(path))
    unknown = [name for pair in pairs for name in pair if name not in number]
    if unknown:
        raise TopologyError(f"'{path}' names the node {unknown[0]!r}, which the topology does not have")
    return np.array([[number[first], number[second]] for first, second in pairs], dtype=np.int64).reshape(-1, 2)


def text_lines(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number, from 1, and the fields of each line that is not empty or a comment.

    Args:
        path: the file.

    Raises:
        TopologyError: if the file cannot be read.
    """
    text = text_of(path, TopologyError)
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#", 1)[0].strip()
        if content:
            yield number, [field.strip() for field in content.split("," if "," in content else None)]


def _links(path: str) -> Iterator[tuple[str, str]]:
    """Yield the two names of each link in an edge list."""
    for number, fields in text_lines(path):
        if len(fields) not in (2, 3) or "" in fields[:2] or (len(fields) == 3 and not is_number(fields[2])):
            raise TopologyError(
                f"line {number} of '{path}' is not a link: a link is two names separated by a comma or "
                "whitespace, optionally followed by a number, which is ignored"
            )
        if fields[0] == fields[1]:
            raise TopologyError(f"line {number} of '{path}' links '{fields[0]}' to itself; remove it")
        yield fields[0], fields[1]


def _graphml(path: str) -> tuple[list[tuple[str, str]], set[str]]:
    """Return the pairs of names of a graphml file's links, and all names."""
    try:
        graph = nx.read_graphml(path)
    except OSError as error:
        raise TopologyError(f"'{path}' cannot be read: {error.strerror}") from error
    except (ParseError, nx.NetworkXException, ValueError, KeyError, AttributeError) as error:
        raise TopologyError(f"'{path}' is not a graphml file: {error}") from error
    if graph.is_directed():
        raise TopologyError(f"the graph in '{path}' is directed; a topology has links that go both ways")
    pairs = [(str(first), str(second)) for first, second in graph.edges()]
    for first, second in pairs:
        if first == second:
            raise TopologyError(f"'{path}' links '{first}' to itself; remove this edge")
    return pairs, {str(node) for node in graph}


def is_number(text: str) -> bool:
    """Return whether a text can be parsed as a number.

    Args:
        text: the text.
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def _natural(name: str) -> tuple[Any, ...]:
    """Return a sort key in which runs of digits compare as numbers."""
    parts = re.split(r"([0-9]+)", name)
    digits = [part.lstrip("0") for part in parts[1::2]]
    numbers = [(len(digit), digit) for digit in digits]
    return *(item for pair in zip(parts[::2], [*numbers, (0, "")], strict=True) for item in pair), name
