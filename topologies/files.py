"""Read graphs from files."""

import re
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from rewindnet.errors import notice
from rewindnet.reading import text_of
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graph_formats import (
    MATRICES,
    PARSERS,
    Links,
    array_of,
    links_of,
    matrix_links,
    parsed_links,
    suffix_of,
)

EDGE_LISTS = (".txt", ".edges", ".edgelist", ".csv", ".tsv")
_HEADINGS = {
    ("source", "target"),
    ("from", "to"),
    ("src", "dst"),
    ("node_1", "node_2"),
    ("node1", "node2"),
    ("id_1", "id_2"),
}
_ATTRIBUTES = re.compile(r"[\s,;]*\{.*\}$")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")


def graph_from_file(nodes: int, seed: int, *, path: str) -> nx.Graph:
    """Read a graph from a file: an edge list, GraphML, GML, GEXF, Pajek, JSON, an adjacency matrix and others.

    An edge list (.txt, .edges, .edgelist, .csv, .tsv) has one link in each line: two node names, separated by a comma,
    a semicolon or else by whitespace; what follows them must be numbers, or a dictionary as networkx writes it. `#`
    and, at the beginning of a line, `%` begin a comment. A first line with a single number N says that the nodes are
    0..N-1; a first line such as `source,target` is a heading. A .csv may also be an adjacency matrix. .npy, .npz and
    .mtx hold adjacency matrices, dense or sparse; .g6, .s6, .graph (METIS), .adjlist are read too, and any of them
    gzipped. Weights are ignored, because they come from the mixing rule. Self-loops are dropped, links that are
    listed twice or in both directions are joined, and links that go one way are taken both ways; a notice says so.

    Nodes whose names are all integers are in the order of these, others in the order of the file. Names are stored in
    the node attribute `name`, unless they are 0..N-1.

    Args:
        nodes: N, the number of nodes that the file must have.
        seed: not used.
        path: the file; `~` is the home directory.

    Raises:
        TopologyError: if the file is missing or of another kind, is damaged (the message has the line), or does not
            have `nodes` nodes.
    """
    found = _read(path)
    if len(found.names) != nodes:
        raise TopologyError(f"'{path}' has {len(found.names)} nodes, but the network has {nodes}")
    number = {name: index for index, name in enumerate(_ordered(found.names))}
    flat = np.array([(number[first], number[second]) for first, second in found.pairs], dtype=np.int64).reshape(-1, 2)
    edges = _simple(path, found, flat)
    graph = nx.empty_graph(nodes)
    if list(number) != list(map(str, range(nodes))):
        nx.set_node_attributes(graph, {index: name for name, index in number.items()}, "name")
    graph.add_edges_from(edges.tolist())
    _check_connected(path, graph, list(number))
    return graph


def nodes_in_file(path: str) -> int:
    """Return the number of nodes in a graph file.

    Args:
        path: the file, as for `graph_from_file`.

    Raises:
        TopologyError: if it cannot be read.
    """
    return len(_read(path).names)


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
    pairs = _listed(path).pairs
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
        content = "" if line.lstrip().startswith("%") else line.split("#", 1)[0].strip()
        # networkx writes the attributes of a link at its end, as a dictionary.
        content = _ATTRIBUTES.sub("", content)
        if content:
            yield number, [field.strip() for field in content.split(_separator(content))]


def _read(path: str) -> Links:
    """Return the links of a graph file, as they are listed."""
    suffix = suffix_of(path)
    if suffix in MATRICES:
        array = array_of(path)
        if suffix == ".npy" and array.ndim == 2 and array.shape[1] == 2 != array.shape[0] and array.dtype.kind in "iu":
            return links_of((), array.tolist())
        return matrix_links(array, path)
    if suffix in PARSERS:
        return parsed_links(text_of(path, TopologyError), path)
    # KONECT names the list of links of a network `out.NAME`.
    if suffix in EDGE_LISTS or Path(path).name.startswith("out."):
        return _listed(path)
    known = ", ".join([*EDGE_LISTS, *MATRICES, *PARSERS])
    raise TopologyError(f"a topology is read from {known}, plain or gzipped, not from '{path}'")


def _listed(path: str) -> Links:
    """Return the links in an edge list, or in an adjacency matrix written as text."""
    lines = list(text_lines(path))
    if not lines:
        return Links([], [])
    matrix = _matrix_in(lines)
    if matrix is not None:
        return matrix_links(matrix, path)
    names: list[str] = []
    if len(lines[0][1]) == 1 and lines[0][1][0].isdecimal() and len(lines[0][1][0]) < 8:
        names = list(map(str, range(int(lines[0][1][0]))))
        lines = lines[1:]
    elif tuple(field.strip('"').lower() for field in lines[0][1][:2]) in _HEADINGS:
        lines = [(number, fields[:2]) for number, fields in lines[1:]]
    pairs = []
    for number, fields in lines:
        uneven = len(fields) > 3 and len(fields) != len(lines[0][1])
        if len(fields) < 2 or uneven or "" in fields[:2] or not all(map(is_number, fields[2:])):
            raise TopologyError(
                f"line {number} of '{path}' is not a link: a link is two names separated by a comma or "
                "whitespace, optionally followed by numbers, as many in each line, which are ignored; "
                "adjacency lists have the suffix .adjlist"
            )
        pairs.append((fields[0], fields[1]))
    found = links_of(names, pairs)
    if names and len(found.names) > len(names):
        stranger = found.names[len(names)]
        raise TopologyError(f"'{path}' announces the nodes 0 to {len(names) - 1}, but links a node {stranger!r}")
    return found


def _matrix_in(lines: list[tuple[int, list[str]]]) -> NDArray[np.float64] | None:
    """Return the adjacency matrix in the lines of a text file; None if they list links.

    Three lines of three numbers are a matrix only if they are symmetric and hold nothing but 0 and 1.
    """
    size = len(lines)
    if size < 3 or any(len(fields) != size or not all(map(is_number, fields)) for _, fields in lines):
        return None
    matrix = np.array([fields for _, fields in lines], dtype=np.float64)
    return matrix if size > 4 or (np.isin(matrix, (0, 1)).all() and (matrix == matrix.T).all()) else None


def _simple(path: str, found: Links, flat: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each link once, [m, 2], without self-loops; a notice says what was changed."""
    links = flat[flat[:, 0] != flat[:, 1]]
    one_way, once = np.unique(links, axis=0), np.unique(np.sort(links, axis=1), axis=0)
    both = len(one_way) - len(once)
    told = {
        "self-loops dropped": len(flat) - len(links),
        "repeated links merged": len(links) - len(one_way),
        "links listed in both directions joined": both,
        "links of one direction taken both ways": len(once) - both if found.directed else 0,
    }
    changes = [f"{what}: {count}" for what, count in told.items() if count]
    if changes:
        notice(f"'{path}': {'; '.join(changes)}")
    return once


def _check_connected(path: str, graph: nx.Graph, names: list[str]) -> None:
    """Refuse a graph in several parts; the message says how large they are."""
    parts = sorted(nx.connected_components(graph), key=len, reverse=True)
    if len(parts) > 1:
        alone = [names[node] for node in sorted(node for part in parts if len(part) == 1 for node in part)]
        isolated = f"; {len(alone)} nodes have no link, such as {alone[0]!r}" if alone else ""
        raise TopologyError(
            f"the graph in '{path}' is not connected: it has {len(parts)} parts, the largest of {len(parts[0])} of its "
            f"{len(graph)} nodes{isolated}; a topology needs a path between every two nodes"
        )


def _ordered(names: list[str]) -> list[str]:
    """Return names in the order of their numbers if all are integers, else as they are."""
    if all(_INTEGER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return names


def _separator(content: str) -> str | None:
    """Return what separates the fields of a line; None is whitespace."""
    return next((mark for mark in ",;" if mark in content), None)


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
