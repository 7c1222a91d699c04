"""Read the citation graphs of Planetoid: pickles of the papers that are linked with each paper."""

from rewindnet.pickles import unpickled
from rewindnet.reading import content_of
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.links import Links, links_of

#: How pickles begin of the protocols 2 to 5; METIS files, of the same suffix, are text.
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def is_planetoid(path: str) -> bool:
    """Return whether a file is a pickle.

    Args:
        path: the file.

    Raises:
        TopologyError: if it cannot be read.
    """
    return content_of(path, TopologyError).startswith(_PICKLE)


def planetoid_links(path: str) -> Links:
    """Return the links in a pickled dictionary of lists, each link from its smaller name.

    Args:
        path: the file.

    Raises:
        TopologyError: if it is damaged, or holds something else.
    """
    graph = unpickled(content_of(path, TopologyError), f"'{path}'", TopologyError)
    if not isinstance(graph, dict) or not all(isinstance(others, list) for others in graph.values()):
        raise TopologyError(f"'{path}' holds no lists of the numbers of linked nodes")
    pairs = [(node, other) for node, others in graph.items() for other in others]
    if not all(type(node) is int for node in (*graph, *(other for _, other in pairs))):
        raise TopologyError(f"'{path}' links a node that is not a number")
    mirrored = set(pairs) >= {(other, node) for node, other in pairs}
    # Each link stands in the lists of both of its nodes.
    return links_of(graph, [pair for pair in pairs if not mirrored or pair[0] <= pair[1]], not mirrored)
