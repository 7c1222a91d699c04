"""Read graphs from files."""

import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from rewindnet.errors import notice
from rewindnet.reading import located, text_of
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graph_formats import PARSERS, parsed_links
from rewindnet.topologies.link_lists import EDGE_LISTS, listed_links
from rewindnet.topologies.links import Links, links_of, suffix_of
from rewindnet.topologies.matrix_files import MATRICES, array_of, matrix_links
from rewindnet.topologies.planetoid import is_planetoid, planetoid_links

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")

Family = TypeVar("Family", bound=Callable[..., Any])


def decides_nodes(count: Callable[..., int]) -> Callable[[Family], Family]:
    """Say of a graph family that it has a number of nodes of its own.

    Args:
        count: called with the settings of the family; returns the number of nodes.
    """

    def mark(family: Family) -> Family:
        family.own_nodes = count  # type: ignore[attr-defined]
        return family

    return mark


def nodes_in_file(path: str) -> int:
    """Return the number of nodes in a graph file.

    Args:
        path: the file, as for `graph_from_file`.

    Raises:
        TopologyError: if it cannot be read, or holds no node.
    """
    found = _read(path)
    if not found.names:
        raise TopologyError(f"'{path}' has no nodes")
    return len(found.names)


def nodes_in_largest_part(path: str) -> int:
    """Return the number of nodes of the largest connected part of the graph in a file.

    Args:
        path: the file, as for `graph_from_file`.

    Raises:
        TopologyError: if it cannot be read, or holds no node.
    """
    return len(_largest(path, _read(path)).names)


@decides_nodes(nodes_in_file)
def graph_from_file(nodes: int, seed: int, *, path: str) -> nx.Graph:
    """Read a graph from a file: an edge list, GraphML, GML, GEXF, Pajek, JSON, an adjacency matrix and others.

    An edge list (.txt, .edges, .edgelist, .el, .ncol, .csv, .tsv) has one link in each line: two node names, separated
    by a comma, a semicolon or else by whitespace, and in double quotes where they have these marks; what follows them
    must be numbers, or a dictionary as networkx writes it. `#` and, at the beginning of a line, `%` begin a comment. A
    first line with a single number N says that the nodes are 0..N-1; a first line such as `source,target` is a heading.
    A .csv may also be an adjacency matrix, with or without names. .npy, .npz, .mtx and .mat hold adjacency matrices,
    dense or sparse; .g6, .s6, .graph (METIS, or the citation graphs of Planetoid), .adjlist, .dot (by pydot) are read
    too, and any of them gzipped. Weights are ignored, because they come from the mixing rule. Self-loops are dropped,
    links that are listed twice or in both directions are joined, and links that go one way are taken both ways; a
    notice says so.

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
    return _graph(path, _read(path), nodes)


@decides_nodes(nodes_in_largest_part)
def largest_part(nodes: int, seed: int, *, path: str) -> nx.Graph:
    """Read the largest connected part of the graph in a file, as `file` reads a graph that is connected.

    Nodes keep their names. A notice says how many nodes are left out. Of parts of one size, that whose node comes first
    in the file is taken.

    Args:
        nodes: N, the number of nodes that the part must have.
        seed: not used.
        path: the file; `~` is the home directory.

    Raises:
        TopologyError: as for `file`.
    """
    found = _read(path)
    part = _largest(path, found)
    left_out = len(found.names) - len(part.names)
    if left_out:
        notice(f"'{path}': {left_out} of {len(found.names)} nodes are not in the largest connected part, and left out")
    return _graph(path, part, nodes)


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
    pairs = listed_links(path).pairs
    unknown = [name for pair in pairs for name in pair if name not in number]
    if unknown:
        raise TopologyError(f"'{path}' names the node {unknown[0]!r}, which the topology does not have")
    return np.array([[number[first], number[second]] for first, second in pairs], dtype=np.int64).reshape(-1, 2)


def _read(path: str) -> Links:
    """Return the links of a graph file, as they are listed; a file that is read twice in a row is parsed once.

    Args:
        path: the file.

    Raises:
        TopologyError: if it cannot be read.
    """
    try:
        status = os.stat(located(path, TopologyError))
    except (OSError, ValueError):
        return _parsed(path)
    return _parsed_once(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=1)
def _parsed_once(path: str, identity: tuple[int, ...]) -> Links:
    """Parse a file, once while it is the same."""
    return _parsed(path)


def _parsed(path: str) -> Links:
    """Parse a graph file."""
    suffix = suffix_of(path)
    if suffix in MATRICES:
        array = array_of(path)
        if suffix == ".npy" and array.ndim == 2 and array.shape[1] == 2 != array.shape[0] and array.dtype.kind in "iu":
            return links_of((), array.tolist())
        return matrix_links(array, path)
    if suffix == ".graph" and is_planetoid(path):
        return planetoid_links(path)
    if suffix in PARSERS:
        return parsed_links(text_of(path, TopologyError), path)
    # KONECT names the list of links of a network `out.NAME`.
    if suffix in EDGE_LISTS or Path(path).name.startswith("out."):
        return listed_links(path)
    known = ", ".join([*EDGE_LISTS, *MATRICES, *PARSERS])
    raise TopologyError(f"a topology is read from {known}, plain or gzipped, not from '{path}'")


def _graph(path: str, found: Links, nodes: int) -> nx.Graph:
    """Return the graph of the links in a file, whose number of nodes must be as given."""
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


def _largest(path: str, found: Links) -> Links:
    """Return the links of the largest connected part."""
    if not found.names:
        raise TopologyError(f"'{path}' has no nodes")
    graph = nx.Graph(found.pairs)
    graph.add_nodes_from(found.names)
    sizes = {node: part for part in nx.connected_components(graph) for node in part}
    largest = max((sizes[name] for name in found.names), key=len)
    return Links(
        [name for name in found.names if name in largest],
        [pair for pair in found.pairs if pair[0] in largest],
        found.directed,
    )


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
        some = f"{len(alone)} nodes have no link, such as" if len(alone) > 1 else "one node has no link,"
        isolated = f"; {some} {alone[0]!r}" if alone else ""
        raise TopologyError(
            f"the graph in '{path}' is not connected: it has {len(parts)} parts, the largest of {len(parts[0])} of its "
            f"{len(graph)} nodes{isolated}; a topology needs a path between every two nodes; "
            "topology.kind=largest-part takes the largest part alone"
        )


def _ordered(names: list[str]) -> list[str]:
    """Return names in the order of their numbers if all are integers, else as they are."""
    if all(_INTEGER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return names
