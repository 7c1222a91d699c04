"""Paths and costs of a token, for methods in which a token travels over the graph."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates import TrainingRun
from rewindnet.topologies.routing import Tree, adjacency_of_weights, spreading_tree


def graph_weights(learning: TrainingRun) -> csr_array:
    """Return the mixing matrix [N, N] that a schedule is made from; where there is none, that of its first round."""
    weights = getattr(learning.mixing, "weights", None)
    return learning.mixing.matrix(0) if weights is None else weights


def parents_from(weights: csr_array, last_holder: int) -> tuple[int, ...]:
    """Return the node [N] from which each node takes the token's last model: a breadth-first tree from its holder."""
    return spreading_tree(adjacency_of_weights(weights), last_holder).parents


def path_cost(
    home: int, holders: Sequence[int], works: Sequence[bool], parents: Sequence[int], gradients: Sequence[int]
) -> dict[str, int]:
    """Count the cost of a path, including the tree that spreads the last model to all nodes.

    Args:
        home: the node that has the token before the first round.
        holders: [R], the node that has it after each round.
        works: [R], whether that node takes a step.
        parents: [N], of the tree.
        gradients: [N], the per-sample gradients of a step at each node.

    Returns:
        the numbers of `rounds`, `messages` and `gradients`.
    """
    return {
        "rounds": len(holders) + max(Tree(tuple(parents)).depths),
        "messages": int(np.count_nonzero(np.diff([home, *holders]))) + len(parents) - 1,
        "gradients": sum(int(gradients[holder]) for holder, working in zip(holders, works, strict=True) if working),
    }
