"""A token on a graph: the way it takes, drawn beforehand by address, and how its model then gets to everybody."""

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
Beginning = Literal["u", "random"]


@dataclass(frozen=True)
class Path:
    """The way of a token, round by round; before the first round it is at home.

    Attributes:
        holders: [R], who has it in each round; where that is another than before, it has come over an edge.
        works: [R], whether that node takes a step, or merely passes it on.
    """

    holders: tuple[int, ...]
    works: tuple[bool, ...]

    def visits(self, node: int) -> tuple[int, ...]:
        """The rounds in which this node takes a step."""
        both = zip(self.holders, self.works, strict=True)
        return tuple(round for round, (holder, works) in enumerate(both) if works and holder == node)


@dataclass(frozen=True)
class Tree:
    """How a model spreads from one node to all others: in the order of their distance.

    Attributes:
        parents: [N], from whom each node has it; the root from itself.
    """

    parents: tuple[int, ...]

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """[N], after how many rounds each node has it."""
        depths: dict[int, int] = {}
        for node in range(len(self.parents)):
            branch = []
            while node not in depths and self.parents[node] != node:
                branch.append(node)
                node = self.parents[node]
            depth = depths.setdefault(node, 0)
            for further, one in enumerate(reversed(branch), start=1):
                depths[one] = depth + further
        return tuple(depths[node] for node in range(len(self.parents)))


def links(weights: sparse.csr_array) -> sparse.csr_array:
    """[N, N], 1 where a mixing matrix has a weight between two different nodes, in either direction."""
    linked = weights.tocoo()
    row, column, there = linked.row, linked.col, (linked.row != linked.col) & (linked.data != 0)
    row, column = np.concatenate([row[there], column[there]]), np.concatenate([column[there], row[there]])
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
    start: Beginning = "u",
    cap: int | None = None,
) -> Path:
    """The way of a token that visits its home with a given probability at every hop.

    Args:
        adjacency: [N, N] of a connected graph, as from `links`.
        home: the node u where it is before the first hop.
        hops: how many steps are taken, by whoever has the token.
        seed: of the coins; hop t has the address t.
        visit: the probability that the next step is u's.
        routing: whose step it is otherwise. `others`: a node drawn uniformly from all but u, the present holder among
            them; the token goes there along a shortest path. `neighbours`: a neighbour of the present holder, drawn
            uniformly, which may be u, too. Visits always follow a shortest path.
        start: whose the first step is: `u`, its home's; `random`, drawn like any other.
        cap: on the steps of u. A step that would be one more is another's, or, where there is no other, the present
            holder's.

    Raises:
        TopologyError: if a setting is out of range, or the graph is not connected.
    """
    N = adjacency.shape[0]
    if N < 2 or not 0 <= home < N:
        raise TopologyError(f"a token travels between at least two nodes; it has {N}, and its home is node {home}")
    if not 0 <= visit <= 1:
        raise TopologyError(f"the probability of a visit is between 0 and 1, not {visit}")
    if routing not in get_args(Routing) or start not in get_args(Beginning):
        raise TopologyError(f"a token is routed by others or neighbours and starts at u or random: {routing}, {start}")
    if hops < 1 or (cap is not None and cap < 0):
        raise TopologyError(f"a token takes at least one hop and visits its home a number of times: {hops}, {cap}")
    _connected(adjacency, home)
    at, visits = home, 0
    holders: list[int] = []
    works: list[bool] = []
    for hop in range(hops):
        homewards, whom = rng_at(seed, Stream.TOKEN, hop).random(2).tolist()
        allowed = cap is None or visits < cap
        if allowed and (homewards < visit or (start == "u" and hop == 0)):
            target = home
        elif routing == "others":
            drawn = int(whom * (N - 1))
            target = drawn + (drawn >= home)
        else:
            target = _neighbour(adjacency, at, whom, None if allowed else home)
        route = _route(adjacency, at, target)
        holders += route
        works += [False] * (len(route) - 1) + [True]
        at, visits = target, visits + (target == home)
    return Path(tuple(holders), tuple(works))


def mixing_walk(weights: sparse.csr_array, hops: int, seed: int, start: int | None = None) -> tuple[int, ...]:
    """[hops], the holders of a token that goes on by the row of the mixing matrix of whoever has it.

    Args:
        weights: [N, N], rows of which sum to 1.
        hops: how many steps are taken, one by each holder.
        seed: of the coins; hop t has the address t.
        start: the first holder; drawn uniformly where it is not given.

    Raises:
        TopologyError: if there is no hop or no such first holder.
    """
    N = weights.shape[0]
    if hops < 1 or (start is not None and not 0 <= start < N):
        raise TopologyError(f"a walk over {N} nodes takes at least one hop and starts at one of them: {hops}, {start}")
    at = int(rng_at(seed, Stream.TOKEN, node=1).integers(N)) if start is None else start
    holders = [at]
    for hop in range(1, hops):
        row = slice(*weights.indptr[[at, at + 1]])
        share = np.cumsum(weights.data[row])
        drawn = rng_at(seed, Stream.TOKEN, hop).random() * share[-1]
        at = int(weights.indices[row][min(int(np.searchsorted(share, drawn, side="right")), len(share) - 1)])
        holders.append(at)
    return tuple(holders)


def spreading(adjacency: sparse.csr_array, root: int) -> Tree:
    """A breadth-first tree of a connected graph.

    Raises:
        TopologyError: if the graph is not connected.
    """
    _, predecessors = _connected(adjacency, root)
    parents = predecessors.tolist()
    parents[root] = root
    return Tree(tuple(parents))


def _neighbour(adjacency: sparse.csr_array, at: int, whom: float, but: int | None) -> int:
    """One of the neighbours, uniformly; the node itself if it has none but the one that must not be."""
    there = adjacency.indices[adjacency.indptr[at] : adjacency.indptr[at + 1]]
    there = there[there != but] if but is not None else there
    return int(there[int(whom * len(there))]) if len(there) else at


def _route(adjacency: sparse.csr_array, source: int, target: int) -> list[int]:
    """The nodes of a shortest path after its first; the node itself where there is nowhere to go."""
    if source == target:
        return [target]
    # Searched from where it ends, so that the predecessors lead there.
    _, towards = csgraph.breadth_first_order(adjacency, target)
    route, at = [], source
    while at != target:
        at = int(towards[at])
        route.append(at)
    return route


def _connected(adjacency: sparse.csr_array, root: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    order, predecessors = csgraph.breadth_first_order(adjacency, root)
    if len(order) < adjacency.shape[0]:
        raise TopologyError(
            f"a token reaches {len(order)} of {adjacency.shape[0]} nodes from node {root}; the graph must be connected"
        )
    return order, predecessors
