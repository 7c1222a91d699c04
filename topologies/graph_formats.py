"""Parse the text of graph files by networkx, where it knows the format."""

import io
import json
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any
from xml.etree.ElementTree import ParseError, fromstring, tostring

import networkx as nx

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.links import Links, links_of, suffix_of

#: A number of a GML file that is not finite, with its key.
_NOT_FINITE = re.compile(r"^(\s*\w+\s+)[-+]?(?:inf|nan)\s*$", re.IGNORECASE | re.MULTILINE)
#: The sections of Pajek files that list all neighbours of a node in a line, and those that list pairs.
_PAIRED = {"*arcslist": "*arcs", "*edgeslist": "*edges"}
#: The other sections that are read; Infomap calls its arcs links.
_SECTIONS = {"*arcs": "*arcs", "*links": "*arcs", "*edges": "*edges", "*matrix": "*matrix"}


def _gml(text: str) -> Any:
    # Weights are not used, and those that are not finite, as other programs write them, are unknown to networkx.
    text = _NOT_FINITE.sub(r"\g<1>0", text)
    # Parallel links are an error of networkx where the file does not allow for them.
    if "multigraph" not in text:
        text = text.replace("[", "[\n multigraph 1\n", 1)
    try:
        return nx.parse_gml(text, label="label")
    except nx.NetworkXError:
        return nx.parse_gml(text, label="id")


def _graphml(text: str) -> Any:
    # What links and nodes are said to be is not used, and others write types and keys that networkx refuses.
    root = fromstring(text)
    for inner in list(root.iter()):
        for child in [child for child in inner if str(child.tag).rpartition("}")[2] in ("data", "key", "desc")]:
            inner.remove(child)
    return nx.parse_graphml(tostring(root, encoding="unicode"), force_multigraph=True)


def _pajek(text: str) -> Any:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("%", "#"))]
    begins = [at for at, line in enumerate(lines) if line.lower().startswith("*vertices")]
    if len(begins) != 1:
        raise ValueError("it has no line *Vertices")
    (begin,) = begins
    if len(lines[begin].split()) == 1:
        # Other programs leave the number of nodes out.
        ends = [at for at, line in enumerate(lines) if at > begin and line.startswith("*")]
        lines[begin] += f" {min([*ends, len(lines)]) - begin - 1}"
    announced = int(lines[begin].split()[1])
    ids = [f'{node} "{node}"' for node in range(1, announced + 1)] if announced <= 10**7 else []
    first_mode = int(lines[begin].split()[2]) if len(lines[begin].split()) > 2 else 0
    lines[begin + 1 :] = _with_pairs(lines[begin + 1 :], first_mode)
    head = [*lines[:begin], f"*Vertices {announced}"]
    listed = [line for line in lines[begin + 1 :] if not line.startswith("*")][:announced]
    labelled = [line for line in listed if len(line.split(None, 1)) == 2]
    rest = next((at for at, line in enumerate(lines) if at > begin and line.startswith("*")), len(lines))
    if rest - begin - 1 == announced == len(labelled):
        graph = nx.parse_pajek([*head, *lines[begin + 1 :]])
        if len(graph) == announced:
            return graph
    # Labels are missing, or two nodes share one: the nodes have their numbers for names.
    return nx.parse_pajek([*head, *ids, *lines[rest:]])


def _with_pairs(lines: list[str], first_mode: int) -> list[str]:
    """Return the lines of a Pajek file with a pair a line where networkx would read the first of many links only.

    Args:
        lines: those after `*Vertices`.
        first_mode: in a two-mode network, the number of nodes of the first kind, which are the rows of a matrix.
    """
    found, section, row = [], "", 0
    for line in lines:
        if line.startswith("*"):
            section, row = line.split()[0].lower(), 0
            if section not in _PAIRED | _SECTIONS:
                raise ValueError(f"it has a section {line.split()[0]}, which is not read")
            two_modes = section == "*matrix" and first_mode > 0
            found.append("*edges" if two_modes else (_PAIRED | _SECTIONS)[section])
        elif section in _PAIRED:
            node, *others = line.split()
            found += [f"{node} {other}" for other in others]
        elif section == "*matrix" and first_mode:
            row += 1
            found += [f"{row} {first_mode + at}" for at, entry in enumerate(line.split(), start=1) if float(entry)]
        else:
            found.append(line)
    return found


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


def _dot(text: str) -> Any:
    try:
        pydot: Any = import_module("pydot")
    except ModuleNotFoundError:
        raise TopologyError(
            "DOT files are read by pydot, which is not installed: install it with pip install pydot, or write the "
            "graph in another format, such as graphml"
        ) from None
    found = pydot.graph_from_dot_data(text) or []
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} graphs, one is needed")
    graph = nx.nx_pydot.from_pydot(found[0])
    return nx.relabel_nodes(graph, {name: name.strip('"') for name in graph})


#: By suffix: what such a file is called, and what parses its text as a networkx graph.
PARSERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    ".graphml": ("graphml", _graphml),
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
    ".dot": ("DOT", _dot),
    ".gv": ("DOT", _dot),
}


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
    except TopologyError as problem:
        raise TopologyError(f"'{path}' cannot be read: {problem}") from None
    except (ParseError, nx.NetworkXException, ValueError, KeyError, AttributeError, TypeError, IndexError) as problem:
        raise TopologyError(f"'{path}' is not a {name} file: {problem!s:.200}") from problem
    except (StopIteration, RuntimeError, RecursionError, OverflowError):
        raise TopologyError(f"'{path}' is not a {name} file, or is damaged") from None
    return links_of(graph, ((first, second) for first, second, *_ in graph.edges()), graph.is_directed())
