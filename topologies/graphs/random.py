"""Random graph families: the same seed gives the same graph.

Each family is a function as in `graphs.deterministic`. A family that may be disconnected is redrawn, each time with its
own random stream.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import networkx as nx
import numpy as np

from rewindnet.registry import former
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import EdgeGraph, Edges, Graph, in_sorted, is_connected, require_nodes
from rewindnet.topologies.rng import Stream, rng_at

#: The number of draws of a random family, each at its own address, after which it is declared disconnected.
DRAWS = 100

DrawnT = TypeVar("DrawnT", bound=Graph)


def erdos_renyi(nodes: int, seed: int, *, p: float = 0.3) -> nx.Graph:
    """Link each pair of nodes with probability p; redrawn until connected.

    Args:
        nodes: N.
        seed: the seed of the draw.
        p: the probability, in (0, 1].

    Raises:
        TopologyError: if a number is out of range, or no draw is connected.
    """
    require_nodes("erdos-renyi graph", nodes, 1)
    if not 0 < p <= 1:
        raise TopologyError(f"erdos-renyi takes a p above 0 and at most 1, not {p}")
    advice = (
        f"p = {p} is too small; the connectivity threshold is ln(N)/N = {math.log(nodes) / nodes:.3g}, "
        "choose a p well above it"
    )
    return _connected("erdos-renyi", nodes, seed, lambda rng: nx.fast_gnp_random_graph(nodes, p, rng), advice)


@former(settings={"neighbours": "k", "rewiring": "p"})
def watts_strogatz(nodes: int, seed: int, *, k: int = 6, p: float = 0.1) -> nx.Graph:
    """Draw a small world: a ring with links to the nearest `k` nodes, each rewired with probability `p`.

    Watts and Strogatz, "Collective dynamics of small-world networks", Nature 393 (1998).

    Args:
        nodes: N.
        seed: the seed of the draw.
        k: the number of neighbours on the ring, even.
        p: the probability of rewiring, in [0, 1].

    Raises:
        TopologyError: if a number is out of range, or no draw is connected.
    """
    require_nodes("watts-strogatz graph", nodes, 3)
    if k < 2 or k % 2 or k >= nodes:
        raise TopologyError(f"watts-strogatz takes an even k, at least 2 and below the node count {nodes}, not {k}")
    if not 0 <= p <= 1:
        raise TopologyError(f"watts-strogatz takes a p between 0 and 1, not {p}")

    def draw(rng: np.random.Generator) -> nx.Graph:
        return nx.watts_strogatz_graph(nodes, k, p, rng)

    advice = f"choose a k above {k} or a p below {p}"
    return _connected("watts-strogatz", nodes, seed, draw, advice)


@former(settings={"attachments": "m"})
def barabasi_albert(nodes: int, seed: int, *, m: int = 2) -> nx.Graph:
    """Draw a graph with hubs: each new node links to `m` earlier ones with probability proportional to their degree.

    Barabási and Albert, "Emergence of scaling in random networks", Science 286 (1999).

    Args:
        nodes: N.
        seed: the seed of the draw.
        m: the number of links of each new node.

    Raises:
        TopologyError: if a number is out of range.
    """
    require_nodes("barabasi-albert graph", nodes, 2)
    if not 1 <= m < nodes:
        raise TopologyError(f"barabasi-albert takes an m of at least 1 and below the node count {nodes}, not {m}")
    return nx.barabasi_albert_graph(nodes, m, rng_at(seed, Stream.GRAPH))


def random_regular(nodes: int, seed: int, *, degree: int = 8) -> EdgeGraph:
    """Draw a graph in which every node has the same number of neighbours; redrawn until connected.

    Steger and Wormald, "Generating random regular graphs quickly", Combinatorics, Probability and Computing 8 (1999).
    For a degree above half of the node count the complement is drawn, which has the same law and is faster.

    Args:
        nodes: N.
        seed: the seed of the draw.
        degree: the number of neighbours of every node.

    Raises:
        TopologyError: if a number is out of range, or no draw is connected.
    """
    require_nodes("random-regular graph", nodes, 2)
    if not 1 <= degree < nodes or (degree == 1 and nodes > 2):
        least = 2 if nodes > 2 else 1
        raise TopologyError(
            f"random-regular takes a degree of at least {least} and below the node count {nodes}, not {degree}"
        )
    if nodes * degree % 2:
        raise TopologyError(
            f"random-regular needs nodes × degree to be even; {nodes} × {degree} is odd, "
            f"choose degree {degree - 1} or {nodes + 1} nodes"
        )

    def draw(rng: np.random.Generator) -> EdgeGraph:
        if 2 * degree < nodes:
            return EdgeGraph(nodes, _regular_edges(nodes, degree, rng))
        others, every = _regular_edges(nodes, nodes - 1 - degree, rng), np.stack(np.triu_indices(nodes, 1), axis=1)
        return EdgeGraph(nodes, every[~np.isin(every @ (nodes, 1), others @ (nodes, 1))])

    return _connected("random-regular", nodes, seed, draw, f"choose a degree above {degree}")


def _connected(
    family: str, nodes: int, seed: int, draw: Callable[[np.random.Generator], DrawnT], advice: str
) -> DrawnT:
    """Return the first connected draw; the number of the attempt is the round of the draw's address."""
    for attempt in range(DRAWS):
        graph = draw(rng_at(seed, Stream.GRAPH, round=attempt))
        if is_connected(graph):
            return graph
    raise TopologyError(f"{family} gave no connected graph on {nodes} nodes in {DRAWS} draws: {advice}")


def _regular_edges(nodes: int, degree: int, rng: np.random.Generator) -> Edges:
    """Return the sorted edges of a random regular graph; start again where no further pairing is possible."""
    while True:
        stubs = np.repeat(np.arange(nodes, dtype=np.int64), degree)
        accepted = np.empty(0, dtype=np.int64)
        while stubs.size:
            pairs = np.sort(rng.permutation(stubs).reshape(-1, 2), axis=1)
            keys = pairs[:, 0] * nodes + pairs[:, 1]
            valid = np.zeros(len(keys), dtype=bool)
            valid[np.unique(keys, return_index=True)[1]] = True
            valid &= (pairs[:, 0] != pairs[:, 1]) & ~in_sorted(keys, accepted)
            if not valid.any() and _is_stuck(stubs, accepted, nodes):
                break
            accepted = np.concatenate([accepted, keys[valid]])
            accepted.sort(kind="stable")
            stubs = pairs[~valid].ravel()
        else:
            return np.stack([accepted // nodes, accepted % nodes], axis=1)


def _is_stuck(stubs: Edges, accepted: Edges, nodes: int) -> bool:
    """Return whether every two nodes that still need a neighbour are already linked."""
    unfinished = np.unique(stubs)
    low, high = np.triu_indices(len(unfinished), 1)
    return bool(np.isin(unfinished[low] * nodes + unfinished[high], accepted).all())
