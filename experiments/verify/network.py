"""Verify the mixing matrix of topology.json."""

import numpy as np

from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.records import TOLERANCE, demand, recorded_weights


def check_network(folder: RunFolder) -> str:
    """Check that mixing weights are non-negative, lie on edges, and sum to 1 in each row.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if one of these properties does not hold.
    """
    W = recorded_weights(folder)
    demand(bool(np.all(W.data >= 0)), "a mixing weight is negative")
    worst = float(np.abs(W.sum(axis=1) - 1).max())
    demand(worst <= TOLERANCE, f"a row of the mixing matrix is {worst:.3g} away from summing to 1")
    edges = {frozenset(edge) for edge in folder.topology["edges"]}
    off = [(i, j) for i, j, w in folder.topology["weights"] if i != j and w != 0 and frozenset((i, j)) not in edges]
    demand(not off, f"nodes {off[0] if off else ''} exchange weight without an edge between them")
    return f"{W.shape[0]} nodes, {len(edges)} edges, every row of the mixing matrix sums to 1"
