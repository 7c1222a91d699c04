"""The path of a token on a graph, drawn in advance, and the tree along which its last model spreads to all nodes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.rng import Stream, rng_at

Routing = Literal["others", "neighbours"]
TokenStart = Literal["u", "random"]


@dataclass(frozen=True)
class TokenPath:
    """The path of a token, round by round; before the first round the token is at its home.

    Attributes:
        holders: [R], the node that has the token in each round; if it is not the holder before, the two are linked.
        works: [R], whether that node takes a local step in the round, or only passes the token on.
    """

    holders: tuple[int, ...]
    works: tuple[bool, ...]

    def visits(self, node: int) -> tuple[int, ...]:
        """Return the rounds in which this node takes a local step.

        Args:
            node: the node.
        """
        steps = zip(self.holders, self.works, strict=True)
        return tuple(round for round, (holder, works) in enumerate(steps) if works and holder == node)


@dataclass(frozen=True)
class Tree:
    """The tree along which a model spreads from one node to all others, in the order of their distance.

    Attributes:
        parents: [N], the node from which each node receives the model; the root has itself.
    """

    parents: tuple[int, ...]

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """[N], the number of rounds after which each node has the model."""
        depths: dict[int, int] = {}
        for node in range(len(self.parents)):
            branch = []
            while node not in depths and self.parents[node] != node:
                branch.append(node)
                node = self.parents[node]
            depth = depths.setdefault(node, 0)
            for distance, descendant in enumerate(reversed(branch), start=1):
                depths[descendant] = depth + distance
        return tuple(depths[node] for node in range(len(self.parents)))


def adjacency_of_weights(weights: sparse.csr_array) -> sparse.csr_array:
    """Return the adjacency matrix [N, N] of a mixing matrix: 1 where two nodes have a weight in either direction.

    Args:
        weights: the mixing matrix [N, N].
    """
    entries = weights.tocoo()
    row, column, present = entries.row, entries.col, (entries.row != entries.col) & (entries.data != 0)
    row, column = np.concatenate([row[present], column[present]]), np.concatenate([column[present], row[present]])
    adjacency = sparse.csr_array((np.ones(len(row)), (row, column)), shape=weights.shape)
    adjacency.sum_duplicates()
    adjacency.data[:] = 1.0
    return adjacency


def token_path(
    adjacency: sparse.csr_array,
    home: int,
    hops: int,
    seed: int,
    *,
    visit: float,
    routing: Routing = "others",
    start: TokenStart = "u",
    cap: int | None = None,
) -> TokenPath:
    """Draw the path of a token that visits its home with a given probability at every hop.

    Args:
        adjacency: [N, N] of a connected graph, as from `adjacency_of_weights`.
        home: the node u that has the token before the first hop.
        hops: the number of local steps, each by the holder of the token.
        seed: the seed of the draws; hop t has the address t.
        visit: the probability that the next step is u's.
        routing: the node that takes the step otherwise. `others`: a node drawn uniformly from all nodes but u, possibly
            the present holder; the token goes there along a shortest path. `neighbours`: a neighbour of the present
            holder, drawn uniformly, possibly u. Visits to u always follow a shortest path.
        start: the node that takes the first step. `u`: the home; `random`: drawn like every other.
        cap: the largest number of steps of u. Further steps are taken by another node or, where there is no other, by
            the present holder. None for no limit.

    Raises:
        TopologyError: if a setting is out of range, or the graph is not connected.
    """
    N = adjacency.shape[0]
    _check_token(N, home, hops, visit, routing, start, cap)
    _connected(adjacency, home)
    holder, visits = home, 0
    holders: list[int] = []
    works: list[bool] = []
    for hop in range(hops):
        visit_draw, choice = rng_at(seed, Stream.TOKEN, hop).random(2).tolist()
        allowed = cap is None or visits < cap
        if allowed and (visit_draw < visit or (start == "u" and hop == 0)):
            target = home
        elif routing == "others":
            drawn = int(choice * (N - 1))
            target = drawn + (drawn >= home)
        else:
            target = _neighbour(adjacency, holder, choice, None if allowed else home)
        route = _route(adjacency, holder, target)
        holders += route
        works += [False] * (len(route) - 1) + [True]
        holder, visits = target, visits + (target == home)
    return TokenPath(tuple(holders), tuple(works))


def _check_token(
    N: int, home: int, hops: int, visit: float, routing: Routing, start: TokenStart, cap: int | None
) -> None:
    """Refuse settings of a token that are out of range."""
    if N < 2 or not 0 <= home < N:
        raise TopologyError(f"a token travels between at least two nodes; it has {N}, and its home is node {home}")
    if not 0 <= visit <= 1:
        raise TopologyError(f"the probability of a visit is between 0 and 1, not {visit}")
    if routing not in get_args(Routing) or start not in get_args(TokenStart):
        raise TopologyError(f"a token is routed by others or neighbours and starts at u or random: {routing}, {start}")
    if hops < 1 or (cap is not None and cap < 0):
        raise TopologyError(
            f"a token takes at least one hop and visits its home a non-negative number of times: {hops}, {cap}"
        )


def mixing_walk(weights: sparse.csr_array, hops: int, seed: int, start: int | None = None) -> tuple[int, ...]:
    """Draw the holders [hops] of a token whose next holder is drawn from the mixing matrix's row of the present one.

    Args:
        weights: [N, N], with rows that sum to 1.
        hops: the number of local steps, one by each holder.
        seed: the seed of the draws; hop t has the address t.
        start: the first holder; None to draw it uniformly.

    Raises:
        TopologyError: if there is no hop or no such first holder.
    """
    N = weights.shape[0]
    if hops < 1 or (start is not None and not 0 <= start < N):
        raise TopologyError(f"a walk over {N} nodes takes at least one hop and starts at one of them: {hops}, {start}")
    holder = int(rng_at(seed, Stream.TOKEN, node=1).integers(N)) if start is None else start
    holders = [holder]
    for hop in range(1, hops):
        row = slice(*weights.indptr[[holder, holder + 1]])
        cumulative = np.cumsum(weights.data[row])
        draw = rng_at(seed, Stream.TOKEN, hop).random() * cumulative[-1]
        holder = int(
            weights.indices[row][min(int(np.searchsorted(cumulative, draw, side="right")), len(cumulative) - 1)]
        )
        holders.append(holder)
    return tuple(holders)


def spreading_tree(adjacency: sparse.csr_array, root: int) -> Tree:
    """Return a breadth-first tree of a connected graph.

    Args:
        adjacency: [N, N] of the graph, as from `adjacency_of_weights`.
        root: the root of the tree.

    Raises:
        TopologyError: if the graph is not connected.
    """
    _, predecessors = _connected(adjacency, root)
    parents = predecessors.tolist()
    parents[root] = root
    return Tree(tuple(parents))


def _neighbour(adjacency: sparse.csr_array, holder: int, choice: float, excluded: int | None) -> int:
    """Return a neighbour of a node other than `excluded`; the node itself if it has none."""
    neighbours = adjacency.indices[adjacency.indptr[holder] : adjacency.indptr[holder + 1]]
    neighbours = neighbours[neighbours != excluded] if excluded is not None else neighbours
    return int(neighbours[int(choice * len(neighbours))]) if len(neighbours) else holder


def _route(adjacency: sparse.csr_array, source: int, target: int) -> list[int]:
    """Return the nodes of a shortest path without its first node; the target alone if it is the source."""
    if source == target:
        return [target]
    # The search starts at the target, so the predecessors lead to it.
    _, towards = csgraph.breadth_first_order(adjacency, target)
    route, node = [], source
    while node != target:
        node = int(towards[node])
        route.append(node)
    return route


def _connected(adjacency: sparse.csr_array, root: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the order and the predecessors of a breadth-first search; refuse a graph that is not connected."""
    order, predecessors = csgraph.breadth_first_order(adjacency, root)
    if len(order) < adjacency.shape[0]:
        raise TopologyError(
            f"a token reaches {len(order)} of {adjacency.shape[0]} nodes from node {root}; the graph must be connected"
        )
    return order, predecessors
