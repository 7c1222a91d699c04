"""Parse graph files: by networkx where it knows the format, and matrices by numpy and scipy."""

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx
import numpy as np
from scipy import sparse
from scipy.io import mminfo, mmread

from rewindnet.arrays import check_npz, load_npy
from rewindnet.reading import content_of
from rewindnet.topologies.errors import TopologyError

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


def matrix_links(matrix: Any, path: str, names: list[str] | None = None) -> Links:
    """Return a link for each entry of an adjacency matrix that is not 0.

    Args:
        matrix: [N, N], sparse or dense.
        path: the file, for the message.
        names: of its rows; their numbers by default.

    Raises:
        TopologyError: if it is not square, or holds something other than finite numbers.
    """
    if getattr(matrix, "ndim", 0) != 2 or matrix.dtype.kind not in "fiub":
        raise TopologyError(f"'{path}' holds no table of real numbers")
    if matrix.shape[0] != matrix.shape[1]:
        size = " × ".join(map(str, matrix.shape))
        raise TopologyError(f"an adjacency matrix has as many rows as columns; that in '{path}' is {size}")
    entries = sparse.coo_array(matrix)
    entries.sum_duplicates()
    if not np.isfinite(entries.data).all():
        raise TopologyError(f"the adjacency matrix in '{path}' has an entry that is not finite")
    row, column = (index[entries.data != 0].tolist() for index in (entries.row, entries.col))
    names = list(map(str, range(matrix.shape[0]))) if names is None else names
    mirrored = set(zip(column, row, strict=True)) == set(zip(row, column, strict=True))
    # Of a symmetric matrix one entry a link is enough: its mirror image says nothing more.
    pairs = [(names[i], names[j]) for i, j in zip(row, column, strict=True) if not mirrored or i <= j]
    return Links(names, pairs, not mirrored)


def array_of(path: str) -> Any:
    """Return the matrix in a .npy file, a .npz archive of scipy or of one array, or a MatrixMarket file.

    Args:
        path: the file, which may be gzipped.

    Raises:
        TopologyError: if it cannot be read, or holds no such matrix.
    """
    content = content_of(path, TopologyError)
    try:
        if content[:2] == b"PK":
            check_npz(io.BytesIO(content), f"'{path}'", TopologyError)
            return _archived(content, path)
        if content.startswith(b"%%MatrixMarket"):
            rows, columns, entries, form, *_ = mminfo(io.BytesIO(content))
            if entries * (4 if form == "coordinate" else 2) > len(content) + 4 or max(rows, columns) > 10**7:
                raise ValueError(f"its header announces {rows} × {columns} with {entries} entries")
            return mmread(io.BytesIO(content), spmatrix=False)
        return load_npy(content, f"'{path}'", TopologyError)
    except TopologyError as problem:
        raise TopologyError(f"{problem}: it holds no matrix of its kind") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, OverflowError, IndexError) as problem:
        raise TopologyError(f"'{path}' holds no matrix of its kind: {problem}") from None


def _archived(content: bytes, path: str) -> Any:
    """Return the matrix in an .npz archive."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        names = list(archive)
        if "format" not in names:
            if len(names) != 1:
                raise ValueError(f"it holds {', '.join(names) or 'nothing'}; one array, or a sparse matrix of scipy")
            return archive[names[0]]
    matrix = sparse.load_npz(io.BytesIO(content))
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)
    if max(matrix.shape) > 10**7:
        raise ValueError(f"its shape is {matrix.shape}")
    return matrix


def _gml(text: str) -> Any:
    # Parallel links are an error of networkx where the file does not allow for them.
    if "multigraph" not in text:
        text = text.replace("[", "[\n multigraph 1\n", 1)
    try:
        return nx.parse_gml(text, label="label")
    except nx.NetworkXError:
        return nx.parse_gml(text, label="id")


def _pajek(text: str) -> Any:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("%")]
    announced = [int(line.split()[1]) for line in lines if line.lower().startswith("*vertices")]
    if len(announced) != 1:
        raise ValueError("it has no line *Vertices")
    begin = next(at for at, line in enumerate(lines) if line.lower().startswith("*vertices"))
    ids = [f'{node} "{node}"' for node in range(1, announced[0] + 1)] if announced[0] <= 10**7 else []
    head = [*lines[:begin], f"*Vertices {announced[0]}"]
    listed = [line for line in lines[begin + 1 :] if not line.startswith("*")][: announced[0]]
    labelled = [line for line in listed if len(line.split(None, 1)) == 2]
    rest = next((at for at, line in enumerate(lines) if at > begin and line.startswith("*")), len(lines))
    if rest - begin - 1 == announced[0] == len(labelled):
        graph = nx.parse_pajek([*head, *lines[begin + 1 :]])
        if len(graph) == announced[0]:
            return graph
    # Labels are missing, or two nodes share one: the nodes have their numbers for names.
    return nx.parse_pajek([*head, *ids, *lines[rest:]])


def _json(text: str) -> Any:
    data = json.loads(text)
    if isinstance(data, list):
        return nx.MultiGraph([(str(first), str(second)) for first, second in data])
    if "elements" in data:
        return nx.cytoscape_graph(data)
    if "adjacency" in data:
        return nx.adjacency_graph(data)
    key = next((key for key in ("edges", "links") if key in data), None)
    if key is None or "nodes" not in data:
        raise ValueError("node-link JSON has the keys nodes, and links or edges")
    return nx.node_link_graph(data, multigraph=True, edges=key)


def _bits(text: str) -> Any:
    lines = text.split()
    if len(lines) != 1:
        raise ValueError(f"it holds {len(lines)} graphs, one is needed")
    line = lines[0].removeprefix(">>graph6<<").removeprefix(">>sparse6<<")
    return (nx.from_sparse6_bytes if line.startswith(":") else nx.from_graph6_bytes)(line.encode())


def _metis(text: str) -> Any:
    lines = [line.split() for line in text.splitlines() if not line.lstrip().startswith("%")]
    nodes, _, form, *constraints = [*map(int, lines[0]), 0][:4] if len(lines[0]) < 3 else map(int, lines[0])
    if len(lines) < nodes + 1:
        raise ValueError(f"its header announces {nodes} nodes, {len(lines) - 1} lines follow")
    first = form // 100 + (constraints[0] if constraints else 1) * (form // 10 % 10)
    graph = nx.empty_graph(range(1, nodes + 1))
    for node, fields in enumerate(lines[1 : nodes + 1], start=1):
        graph.add_edges_from((node, int(other)) for other in fields[first :: 1 + form % 10])
    if len(graph) != nodes:
        raise ValueError(f"it links a node that is not one of 1 to {nodes}")
    return graph


def _adjacency_list(text: str) -> Any:
    parse = nx.parse_multiline_adjlist if "{" in text else nx.parse_adjlist
    return parse(iter(text.splitlines()))


#: By suffix: what such a file is called, and what parses its text as a networkx graph.
PARSERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    ".graphml": ("graphml", lambda text: nx.parse_graphml(text, force_multigraph=True)),
    ".gml": ("GML", _gml),
    ".gexf": ("GEXF", lambda text: nx.read_gexf(io.BytesIO(text.encode()))),
    ".net": ("Pajek", _pajek),
    ".paj": ("Pajek", _pajek),
    ".json": ("node-link JSON", _json),
    ".g6": ("graph6", _bits),
    ".s6": ("sparse6", _bits),
    ".graph": ("METIS", _metis),
    ".metis": ("METIS", _metis),
    ".adjlist": ("adjacency list", _adjacency_list),
    ".adj": ("adjacency list", _adjacency_list),
}
#: The suffixes of files with a matrix, which may also be a list of links [m, 2] in a .npy file.
MATRICES = (".npy", ".npz", ".mtx")


def suffix_of(path: str) -> str:
    """Return the suffix of a path in lower case, without a last .gz."""
    place = Path(path)
    return Path(place.stem if place.suffix.lower() == ".gz" else place.name).suffix.lower()


def parsed_links(text: str, path: str) -> Links:
    """Return the links in the text of a file of one of the formats in `PARSERS`.

    Args:
        text: the content.
        path: the file, whose suffix says what it is.

    Raises:
        TopologyError: if the text is not of that format.
    """
    name, parse = PARSERS[suffix_of(path)]
    try:
        graph = parse(text)
    except (ParseError, nx.NetworkXException, ValueError, KeyError, AttributeError, TypeError, IndexError) as problem:
        raise TopologyError(f"'{path}' is not a {name} file: {problem!s:.200}") from problem
    except (StopIteration, RuntimeError, RecursionError, OverflowError):
        raise TopologyError(f"'{path}' is not a {name} file, or is damaged") from None
    return links_of(graph, ((first, second) for first, second, *_ in graph.edges()), graph.is_directed())
