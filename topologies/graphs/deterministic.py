"""Deterministic graph families.

Each family is a function `family(nodes, seed, *, settings)` that returns a simple, undirected, connected graph on the
nodes 0..N-1 as its edges; the seed is not used here. Every function raises `TopologyError` for a node count or a
setting for which its family does not exist.
"""

import math

import numpy as np

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import NO_EDGES, EdgeGraph, Edges, require_nodes
from rewindnet.topologies.graphs.shapes import drawn_as


@drawn_as("circle")
def ring(nodes: int, seed: int) -> EdgeGraph:
    """Link each node to the next and the previous one on a circle of 3 or more nodes."""
    require_nodes("ring", nodes, 3)
    return EdgeGraph(nodes, _circle(nodes, 1))


@drawn_as("circle")
def path(nodes: int, seed: int) -> EdgeGraph:
    """Link the nodes in a line."""
    require_nodes("path", nodes, 1)
    return EdgeGraph(nodes, _circle(nodes, 1)[:-1])


@drawn_as("hub")
def star(nodes: int, seed: int) -> EdgeGraph:
    """Link every node to node 0."""
    require_nodes("star", nodes, 1)
    leaves = np.arange(1, nodes)
    return EdgeGraph(nodes, np.stack([np.zeros_like(leaves), leaves], axis=1))


@drawn_as("circle")
def complete(nodes: int, seed: int) -> EdgeGraph:
    """Link every two nodes."""
    require_nodes("complete graph", nodes, 1)
    return EdgeGraph(nodes, np.stack(np.triu_indices(nodes, 1), axis=1))


def grid(nodes: int, seed: int, *, rows: int | None = None) -> EdgeGraph:
    """Link the nodes of a rectangular lattice, which is as square as possible unless `rows` is given.

    Nodes are numbered row by row. A prime node count has only the lattice with one row, which is a path.

    Args:
        nodes: N.
        seed: not used.
        rows: the number of rows, which must divide N; None for the most square lattice.
    """
    require_nodes("grid", nodes, 1)
    ids = _lattice("grid", nodes, rows, least_side=1)
    across = np.stack([ids[:, :-1].ravel(), ids[:, 1:].ravel()], axis=1)
    down = np.stack([ids[:-1].ravel(), ids[1:].ravel()], axis=1)
    return EdgeGraph(nodes, np.concatenate([across, down]))


def torus(nodes: int, seed: int, *, rows: int | None = None) -> EdgeGraph:
    """Link the nodes of a rectangular lattice that wraps around in both directions; both sides 3 or more.

    Args:
        nodes: N.
        seed: not used.
        rows: the number of rows, which must divide N; None for the most square lattice.
    """
    require_nodes("torus", nodes, 9)
    ids = _lattice("torus", nodes, rows, least_side=3)
    across = np.stack([ids.ravel(), np.roll(ids, -1, axis=1).ravel()], axis=1)
    down = np.stack([ids.ravel(), np.roll(ids, -1, axis=0).ravel()], axis=1)
    return EdgeGraph(nodes, np.concatenate([across, down]))


def hypercube(nodes: int, seed: int) -> EdgeGraph:
    """Link nodes whose binary numbers differ in one bit; the node count is a power of two."""
    require_nodes("hypercube", nodes, 1)
    if nodes & (nodes - 1):
        below = 1 << (nodes.bit_length() - 1)
        raise TopologyError(f"a hypercube has a power of two nodes, for example {below} or {2 * below}, not {nodes}")
    words = np.arange(nodes, dtype=np.int64)
    lower = [words[words & bit == 0] for bit in _powers_of_two(nodes)]
    pairs = [np.stack([low, low + bit], axis=1) for low, bit in zip(lower, _powers_of_two(nodes), strict=True)]
    return EdgeGraph(nodes, np.concatenate([NO_EDGES, *pairs]))


def exponential(nodes: int, seed: int) -> EdgeGraph:
    """Link each node to those 1, 2, 4, 8, ... places away on a circle, in both directions.

    The static exponential graph of Ying et al., "Exponential Graph is Provably Efficient for Decentralized Deep
    Training" (NeurIPS 2021), symmetrised: theirs is directed, here each link goes both ways.
    """
    require_nodes("exponential graph", nodes, 1)
    pairs = np.sort(np.concatenate([NO_EDGES, *(_circle(nodes, hop) for hop in _powers_of_two(nodes))]), axis=1)
    return EdgeGraph(nodes, np.unique(pairs, axis=0))


def _circle(nodes: int, hop: int) -> Edges:
    """Return the links from each node to the one `hop` places further on a circle."""
    start = np.arange(nodes, dtype=np.int64)
    return np.stack([start, (start + hop) % nodes], axis=1)


def _powers_of_two(below: int) -> list[int]:
    """Return the powers of two that are less than a number."""
    return [1 << power for power in range((below - 1).bit_length())]


def _lattice(family: str, nodes: int, rows: int | None, least_side: int) -> Edges:
    """Return the node numbers arranged in rows and columns, of which there are at least `least_side` each."""
    sides = [side for side in range(1, math.isqrt(nodes) + 1) if nodes % side == 0]
    allowed = [side for side in sides if side >= least_side]
    if not allowed:
        raise TopologyError(
            f"a {family} has rows × columns nodes with both sides at least {least_side}; "
            f"{nodes} nodes cannot be arranged in this way"
        )
    divisors = sorted({*allowed, *(nodes // side for side in allowed)})
    if rows is not None and rows not in divisors:
        raise TopologyError(
            f"a {family} of {nodes} nodes can have {_listed(divisors)} rows, not {rows} (rows × columns is the "
            f"node count, and both are at least {least_side})"
        )
    return np.arange(nodes, dtype=np.int64).reshape(rows or allowed[-1], -1)


def _listed(numbers: list[int]) -> str:
    """Return the numbers as words: 1, 2 or 3."""
    return ", ".join(map(str, numbers[:-1])) + " or " * (len(numbers) > 1) + str(numbers[-1])
