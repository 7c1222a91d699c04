"""Verify topology.json: its mixing matrix, and all of it against the scenario and the seed."""

from typing import Any

import numpy as np

from rewindnet.certificates.findings import OnRecord
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import TOLERANCE, demand, demand_same, recorded_weights


def check_network(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Check the mixing matrix, and compare topology.json with the topology that the scenario and the seed give.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if the matrix is no mixing matrix of the graph, or the topology is another one.
    """
    W = recorded_weights(folder)
    demand(bool(np.all(W.data >= 0)), "a mixing weight is negative")
    worst = float(np.abs(W.sum(axis=1) - 1).max())
    demand(worst <= TOLERANCE, f"a row of the mixing matrix is {worst:.3g} away from summing to 1")
    edges = {frozenset(edge) for edge in folder.topology["edges"]}
    off = [(i, j) for i, j, w in folder.topology["weights"] if i != j and w != 0 and frozenset((i, j)) not in edges]
    demand(not off, f"nodes {off[0] if off else ''} exchange weight without an edge between them")
    sentence = f"{W.shape[0]} nodes, {len(edges)} edges, every row of the mixing matrix sums to 1"
    if rebuilt.no_topology:
        return OnRecord(f"{sentence}; the topology is on the record's word: {rebuilt.no_topology}")
    demand(rebuilt.topology is not None, f"the scenario gives no topology: {rebuilt.refused}")
    assert rebuilt.topology is not None
    _check_same(folder.topology, rebuilt.topology.to_record())
    sentence += "; graph, weights and schedule are those of the scenario and the seed"
    if rebuilt.nodes_known:
        return sentence
    return OnRecord(f"{sentence}; their number is on the record's word: {rebuilt.no_data or rebuilt.refused}")


def _check_same(recorded: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare topology.json with what it should be, beginning with its edges."""
    nodes, found = expected["nodes"], recorded["nodes"]
    demand(found == nodes, f"the network has {nodes} nodes by the scenario, and {found} by topology.json")
    wanted, edges = ({tuple(edge) for edge in record["edges"]} for record in (expected, recorded))
    surplus, missing = sorted(edges - wanted), sorted(wanted - edges)
    demand(
        not surplus and not missing,
        f"the graph is not that of the scenario and the seed: {len(surplus)} edges too many, {len(missing)} missing"
        + (f", such as {(surplus or missing)[0]}" if surplus or missing else ""),
    )
    one, other = (
        {name: value for name, value in found.items() if name != "spectral_gap"} for found in (recorded, expected)
    )
    demand_same(one, other, "{} is {} in topology.json, and {} by the scenario and the seed".format)
    gap, follows = recorded["spectral_gap"], expected["spectral_gap"]
    demand(abs(gap - follows) <= 1e-6, f"the spectral gap is {follows:.6g}, not {gap:.6g}")
