"""How nodes are divided among ranks, and what each rank then sends and receives."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
from networkx.algorithms.community import kernighan_lin_bisection
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.sums import canonical, edges

#: Which part of a buffer goes to, or comes from, which rank.
Parts = tuple[tuple[int, slice], ...]


@dataclass(frozen=True)
class Route:
    """What a rank sends, receives and sums in a round.

    Attributes:
        packed: the rows of the block that are sent, those for one rank after those for another.
        sends: which of them go to which rank.
        receives: which rows of the halo, the messages that come from other ranks, come from which.
        weights: [b, b + h], of the block's own messages and then of the halo's; entries in increasing order of node.
        inner: the rows of the block that need nothing from the halo.
        outer: the others.
    """

    packed: NDArray[np.int64]
    sends: Parts
    receives: Parts
    weights: csr_array
    inner: tuple[int, ...]
    outer: tuple[int, ...]

    @property
    def halo(self) -> int:
        """h, how many messages come from other ranks."""
        return int(self.weights.shape[1] - self.weights.shape[0])


def divide_nodes(W: csr_array, ranks: int) -> NDArray[np.int64]:
    """Divide the nodes among ranks, in blocks that differ by at most one node, so that few messages travel.

    Nodes are laid out in their own order and in the reverse Cuthill-McKee order. Either is cut into blocks, or bisected
    time and again, exchanging pairs of nodes (Kernighan and Lin, 1970). Of the four, the one with the least to send is
    taken.

    Args:
        W: [N, N], the weights; row i holds the weights of the messages that node i receives.
        ranks: how many there are.

    Returns:
        The rank [N] of every node.

    Raises:
        TransportError: if there are more ranks than nodes.
    """
    nodes = W.shape[0]
    check_ranks(nodes, ranks)
    pattern = edges(W)
    links = csr_array(pattern + pattern.T)
    graph = nx.from_scipy_sparse_array(links)
    owners = []
    for order in (np.arange(nodes), reverse_cuthill_mckee(csr_matrix(links), symmetric_mode=True)):
        owner = np.empty(nodes, dtype=np.int64)
        for rank, block in enumerate(np.array_split(order, ranks)):
            owner[block] = rank
        bisected = np.empty(nodes, dtype=np.int64)
        for rank, nodes_of_rank in enumerate(_bisected(graph, order.tolist(), ranks)):
            bisected[nodes_of_rank] = rank
        owners += [owner, bisected]
    return min(owners, key=lambda owner: len(_travelling(W, owner)))


def _bisected(graph: nx.Graph, nodes: list[int], ranks: int) -> list[list[int]]:
    """Divide nodes into blocks that differ by at most one, bisecting them and then each part.

    Args:
        graph: with a `weight` of every edge, how many messages it carries.
        nodes: in the order that the bisection begins from.
        ranks: how many blocks.
    """
    if ranks == 1:
        return [nodes]
    half = ranks // 2
    cut = sum(len(block) for block in np.array_split(np.arange(len(nodes)), ranks)[:half])
    first, _ = kernighan_lin_bisection(graph.subgraph(nodes), (set(nodes[:cut]), set(nodes[cut:])), seed=0)
    parts = [[node for node in nodes if (node in first) == inside] for inside in (True, False)]
    # The two halves may come back in either order.
    first_part, second_part = parts if len(parts[0]) == cut else parts[::-1]
    return [*_bisected(graph, first_part, half), *_bisected(graph, second_part, ranks - half)]


def make_route(W: csr_array, owner: NDArray[np.int64], rank: int) -> Route:
    """Return what a rank does in a round.

    Args:
        W: [N, N], the weights of the round, of any pattern.
        owner: [N], the rank of every node.
        rank: the rank.
    """
    W, own = canonical(W), np.flatnonzero(owner == rank)
    travelling = _travelling(W, owner)
    leaving, arriving = travelling[travelling[:, 1] == rank], travelling[travelling[:, 0] == rank]
    column_of = np.zeros(len(owner), dtype=np.int64)
    column_of[own], column_of[arriving[:, 2]] = np.arange(len(own)), len(own) + np.arange(len(arriving))
    heard = W[own]
    shape = (len(own), len(own) + len(arriving))
    weights = csr_array((heard.data, column_of[heard.indices], heard.indptr), shape=shape)
    outer = np.zeros(len(own), dtype=bool)
    outer[np.repeat(np.arange(len(own)), np.diff(heard.indptr))[weights.indices >= len(own)]] = True
    return Route(
        packed=np.searchsorted(own, leaving[:, 2]),
        sends=_parts(leaving[:, 0]),
        receives=_parts(arriving[:, 1]),
        weights=weights,
        inner=tuple(np.flatnonzero(~outer).tolist()),
        outer=tuple(np.flatnonzero(outer).tolist()),
    )


def _travelling(W: csr_array, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows that travel in a round, each once to every rank that needs it: receiver, sender, node."""
    to, heard = np.repeat(owner, np.diff(W.indptr)), W.indices
    away = to != owner[heard]
    return np.unique(np.column_stack([to[away], owner[heard[away]], heard[away]]), axis=0)


def _parts(ranks: NDArray[np.int64]) -> Parts:
    """Return the part of each rank in an increasing list of ranks."""
    values, first, count = np.unique(ranks, return_index=True, return_counts=True)
    return tuple((int(rank), slice(int(at), int(at + n))) for rank, at, n in zip(values, first, count, strict=True))


def check_ranks(nodes: int, ranks: int) -> None:
    """Refuse more ranks than there are nodes.

    Raises:
        TransportError: if some rank would have no node.
    """
    if ranks > nodes:
        raise TransportError(f"{ranks} ranks cannot share {nodes} nodes; there must be at least one node for each rank")
