"""Make the graph of a task from the arrays that a source has."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewindnet.clients.data import DataError
from rewindnet.clients.graphs.node_graph import NodeGraph
from rewindnet.topologies.rng import Stream, rng_at


def node_graph(
    name: str,
    *,
    x: NDArray[Any],
    y: NDArray[np.int64],
    pairs: NDArray[np.int64],
    client: NDArray[np.int64],
    classes: int,
    train: float,
    seed: int,
) -> NodeGraph:
    """Return the graph of a task, with training nodes drawn from all nodes.

    Args:
        name: the name of the source.
        x: features [n, p].
        y: labels [n].
        pairs: pairs of nodes [e, 2] in any order; loops and pairs that are given twice are left out.
        client: the client of each node [n].
        classes: the number of classes.
        train: the share of nodes whose labels are learned from.
        seed: the seed of the draw.

    Raises:
        DataError: if the share leaves no training node or no test node.
    """
    n = len(y)
    members = round(train * n)
    if not 0 < members < n:
        raise DataError(f"{name}: train is the share of nodes to learn from, and leaves some to test on; not {train}")
    learned = np.zeros(n, dtype=bool)
    learned[rng_at(seed, Stream.PARTITION, context="training nodes").permutation(n)[:members]] = True
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    pairs = np.unique(pairs, axis=0)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return NodeGraph(
        name=name,
        x=torch.from_numpy(np.asarray(x, dtype=np.float64)),
        y=torch.from_numpy(y.astype(np.int64)),
        edges=torch.from_numpy(np.ascontiguousarray(both.T)),
        client=torch.from_numpy(client.astype(np.int64)),
        train=torch.from_numpy(learned),
        present=torch.ones(n, dtype=torch.bool),
        classes=classes,
    )
