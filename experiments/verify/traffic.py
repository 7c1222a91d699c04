"""Verify traffic.json: the size of a message, and the messages over every edge."""

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.findings import OnRecord
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.phases import phases_of
from rewindnet.experiments.verify.records import demand, recorded_requests, traffic_of
from rewindnet.simulator.transports.sums import edges


def check_traffic(folder: RunFolder) -> str:
    """Check the messages over every edge during learning and retraining, and the size of a message.

    Args:
        folder: the run folder.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if other messages are recorded than these rounds take.
    """
    last, traffic = recorded_requests(folder)[-1], traffic_of(folder)
    arithmetic = last.arithmetic
    size = arithmetic.parameters * np.dtype(folder.scenario["backend"]["dtype"]).itemsize if arithmetic else None
    demand(traffic["message_bytes"] == size, f"a message is {size} bytes, not {folder.traffic['message_bytes']}")
    parts, expected = traffic["parts"], _expected_traffic(folder, last.mixing.nodes)
    for name, counts in expected.items():
        demand(name in parts, f"the messages of {name} are missing")
        found = zip(*(parts[name][key] for key in ("to", "from", "messages")), strict=True)
        recorded = {(to, sender): messages for to, sender, messages in found}
        entries = counts.tocoo()
        wanted = zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True)
        demand(
            recorded == {(to, sender): messages for to, sender, messages in wanted},
            f"the {sum(recorded.values()):,} messages of {name} are not the {int(counts.sum()):,} of its rounds",
        )
    others = len(parts) - len(expected)
    sentence = f"messages over every edge in {len(expected)} parts of the run are those of its matrices"
    return OnRecord(f"{sentence}; those of {others} others are on the record's word") if others else sentence


def _expected_traffic(folder: RunFolder, nodes: int) -> dict[str, csr_array]:
    """Sum the messages of every part of learning and retraining."""
    return {
        name: _summed([phase.matrix(t) for t in rounds], nodes)
        for phase in phases_of(folder)
        for name, rounds in phase.parts.items()
    }


def _summed(matrices: list[csr_array], nodes: int) -> csr_array:
    """Sum the messages of rounds [N, N]; equal matrices that follow each other are counted together."""
    runs: list[tuple[csr_array, int]] = []
    for W in matrices:
        if runs and runs[-1][0] is W:
            runs[-1] = (W, runs[-1][1] + 1)
        else:
            runs.append((W, 1))
    return csr_array(sum((edges(W) * times for W, times in runs), start=csr_array((nodes, nodes), dtype=np.int64)))
