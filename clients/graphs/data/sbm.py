"""The stochastic block model: communities of nodes that are linked inside more than between."""

from pathlib import Path

import numpy as np

from rewindnet.clients.data import DataError
from rewindnet.clients.graphs.data.build import node_graph
from rewindnet.clients.graphs.node_graph import NodeGraph
from rewindnet.topologies.rng import Stream, rng_at


def sbm(
    root: Path | None,
    seed: int,
    *,
    communities: int = 4,
    nodes: int = 150,
    features: int = 40,
    p_in: float = 0.02,
    p_out: float = 0.004,
    own: float = 0.25,
    other: float = 0.1,
    train: float = 0.6,
) -> NodeGraph:
    """A stochastic block model: communities with binary features; each is a client, and its nodes are a class.

    Args:
        root: not used.
        seed: the seed of the draw.
        communities: the number of communities, clients and classes.
        nodes: of each community.
        features: the number of binary features; each community has an equal share of them for its own.
        p_in: the probability of an edge between two nodes of a community.
        p_out: that of an edge between nodes of two communities.
        own: the probability that a node has a feature of its community.
        other: that it has another.
        train: the share of nodes whose labels are learned from; all others are test nodes.

    Raises:
        DataError: if a number is out of its range.

    References:
        Holland, Laskey and Leinhardt, "Stochastic blockmodels: first steps", Social Networks 5 (1983).
    """
    if communities < 2 or nodes < 2 or features < communities:
        raise DataError(
            "sbm has at least 2 communities of at least 2 nodes, and a feature or more for each of them; "
            f"not {communities} communities of {nodes} nodes with {features} features"
        )
    for name, share in (("p_in", p_in), ("p_out", p_out), ("own", own), ("other", other)):
        if not 0 <= share <= 1:
            raise DataError(f"sbm takes a {name} between 0 and 1, not {share}")
    community = np.repeat(np.arange(communities), nodes)
    n = len(community)
    owner = np.arange(features) * communities // features
    chance = np.where(community[:, None] == owner, own, other)
    x = rng_at(seed, Stream.DATA, context="sbm").random((n, features)) < chance
    row, column = np.triu_indices(n, 1)
    linked = np.where(community[row] == community[column], p_in, p_out)
    drawn = rng_at(seed, Stream.GRAPH, context="sbm").random(len(row)) < linked
    pairs = np.stack([row[drawn], column[drawn]], axis=1)
    return node_graph(
        "sbm", x=x, y=community, pairs=pairs, client=community, classes=communities, train=train, seed=seed
    )
