"""Find the fewest links whose addition brings the noise of every node's scores below a limit."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rewindnet.topologies import adjacency
from rewindnet.topologies.distances import hop_distances
from rewindnet.topologies.graphs.edges import Graph, edge_array, from_edges

Link = tuple[int, int]
#: Returns the noise [N] of the scores of a network with these links added; None where it has no certificate.
Noise = Callable[[Sequence[Link]], NDArray[np.float64] | None]

#: The power mean of the noise that links are chosen by: close to the largest, and smaller wherever one node gains.
_POWER = 8


def least_links(graph: Graph, noise: Noise, most: float, limit: int, trials: int) -> tuple[Link, ...]:
    """Add links one by one, each the best of a shortlist, until no score keeps more noise than allowed.

    The shortlist links the two nodes with the most noise to the nodes farthest from them and to those with the least
    noise. The result is small, and need not be the smallest.

    Args:
        graph: the graph.
        noise: the noise of the scores, by the links added.
        most: the largest noise allowed.
        limit: the largest number of links to add.
        trials: the largest number of additions to look at.

    Returns:
        The links, each with the smaller node first; fewer than needed where `limit` or `trials` end the search.
    """
    added: list[Link] = []
    now = noise(added)
    while now is not None and now.max() > most and len(added) < limit and trials > 0:
        shortlist = _shortlist(graph, added, now)[:trials]
        trials -= len(shortlist)
        looked = [(link, noise([*added, link])) for link in shortlist]
        known = [(link, found) for link, found in looked if found is not None]
        if not known:
            break
        link, now = min(known, key=lambda one: float(np.sum((one[1] / most) ** _POWER)))
        added.append(link)
    return tuple(added)


def links_of(edges: NDArray[np.int64]) -> set[Link]:
    """Return edges [m, 2] as links, each with the smaller node first."""
    return {(min(first, second), max(first, second)) for first, second in edges.tolist()}


def _shortlist(graph: Graph, added: Sequence[Link], noise: NDArray[np.float64]) -> list[Link]:
    """Return links that may help: between a node with the most noise and the farthest or quietest nodes."""
    N = len(graph)
    edges = np.concatenate([edge_array(graph), np.array(added, dtype=np.int64).reshape(-1, 2)])
    present = links_of(edges)
    links = adjacency(from_edges(N, edges))
    loudest = np.argsort(-noise, kind="stable")[:2].tolist()
    quietest = np.argsort(noise, kind="stable")[:3].tolist()
    found: dict[Link, None] = {}
    for node in loudest:
        hops = hop_distances(links, node)
        for other in (*np.argsort(-hops, kind="stable")[:3].tolist(), *quietest):
            link = (min(node, other), max(node, other))
            if node != other and link not in present:
                found[link] = None
    return list(found)
