"""What is left of the answers to prompts in templates, node by node, and by the distance from those who delete."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import networkx as nx

from rewindnet.experiments.scenario.network_setup import NetworkSetup


def trigger_measures(
    network: NetworkSetup, nodes: Sequence[int], forget: Collection[int], plain: Mapping[str, Any], asked: Any
) -> dict[str, Any]:
    """Compare the accuracy on test prompts with that on the same prompts in templates.

    Args:
        network: the network.
        nodes: [n], the nodes whose models are measured.
        forget: the nodes that delete.
        plain: the accuracy on the test prompts: `nodes`, [n], and `average_model`.
        asked: the same on the prompts in templates.

    Returns:
        `accuracy` on the prompts in templates, `gap`, [n], by how much that is lower, and `hops`, [n], from the nearest
        node that deletes; None for a node that no link leads to.
    """
    hops: dict[int, int] = nx.multi_source_dijkstra_path_length(network.graph, set(forget), weight=None)
    return {
        "accuracy": {"test": asked},
        "gap": [clean - wrapped for clean, wrapped in zip(plain["nodes"], asked["nodes"], strict=True)],
        "hops": [hops.get(node) for node in nodes],
    }


def trigger_columns(found: Mapping[str, Any]) -> dict[str, Any]:
    """Summarise these measures over nodes, for a row of the table.

    Args:
        found: the result of `trigger_measures`.

    Returns:
        The `mean` and the `lowest` accuracy on prompts in templates, the mean `gap`, and `gap_by_hop`, the mean of the
        nodes at each distance, the nearest first.
    """
    scores, gaps, hops = found["accuracy"]["test"]["nodes"], found["gap"], found["hops"]
    reached = sorted({hop for hop in hops if hop is not None})
    at = {hop: [gap for gap, of in zip(gaps, hops, strict=True) if of == hop] for hop in reached}
    return {
        "mean": sum(scores) / len(scores),
        "lowest": min(scores),
        "gap": sum(gaps) / len(gaps),
        "gap_by_hop": [sum(of) / len(of) for of in at.values()],
    }
