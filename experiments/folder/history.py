"""How the network of a run learned, derived again from its records."""

from collections.abc import Sequence

import networkx as nx
import numpy as np
from scipy.sparse import csr_array

from rewindnet import topologies
from rewindnet.certificates import Mixing, TrainingRun
from rewindnet.clients.training.sampling import SAMPLINGS, Forget, Realised, SamplingError
from rewindnet.experiments.folder.files import Json


def recorded_schedules(
    topology: Json, graph: nx.Graph, weights: csr_array
) -> tuple[topologies.Schedule, topologies.Schedule | None]:
    """Make the schedules that a `topology.json` describes.

    Args:
        topology: the record.
        graph: that it holds.
        weights: [N, N], the mixing matrix that it holds.

    Returns:
        The schedule of the network that remains, and that of before nodes left; None if none has left.

    Raises:
        TopologyError: if there is no such schedule.
    """
    seed, departed = topology.get("seed"), topology.get("departed")
    if not isinstance(seed, int) or seed < 0 or not isinstance(departed, list):
        raise topologies.TopologyError("it does not say from which seed rounds are drawn, or who has left")
    whole = _schedule(topology, graph, weights, seed, ())
    if not departed:
        return whole, None
    row, column, value = (np.array(part) for part in zip(*topology.get("remaining", []), strict=True))
    entries = csr_array((value.astype(float), (row.astype(int), column.astype(int))), shape=weights.shape)
    return _schedule(topology, graph, entries, seed, tuple(departed)), whole


def _schedule(
    topology: Json, graph: nx.Graph, weights: csr_array, seed: int, departed: tuple[int, ...]
) -> topologies.Schedule:
    schedule, learning = topology.get("schedule"), topology.get("learning")
    if not isinstance(schedule, dict) or not isinstance(learning, dict):
        raise topologies.TopologyError("it does not say by which schedule, or how the network learns on it")
    if learning.get("kind") not in topologies.LEARNING:
        raise topologies.TopologyError("it does not say by which schedule, or how the network learns on it")
    settings, how = ({key: value for key, value in part.items() if key != "kind"} for part in (schedule, learning))
    links = topologies.schedule(str(schedule.get("kind")), graph, weights, seed, departed, **settings)
    return topologies.LEARNING[str(learning["kind"])](links, seed, departed, **how)


def recorded_training_runs(
    scenario: Json, learning: Json, mixing: Mixing, mixing_before: Mixing | None
) -> list[TrainingRun]:
    """Describe how the network learned up to each request, with minibatches drawn again.

    Args:
        scenario: the resolved scenario.
        learning: `learning.json`.
        mixing: the mixing matrices of the network that remains.
        mixing_before: those of before nodes left; None if none has left.

    Raises:
        CertificateError: if a record is damaged.
        SamplingError: if batches cannot be drawn.
    """
    runs: list[TrainingRun] = []
    earlier: list[tuple[int, Forget]] = []
    for record in learning["requests"]:
        forget = {int(node): np.array(positions, dtype=np.int64) for node, positions in record["forget"].items()}
        batches = _batches(scenario, record, forget, tuple(earlier))
        runs.append(TrainingRun.from_record(record, mixing, mixing_before, batches))
        earlier.append((runs[-1].rounds, forget))
    return runs


def _batches(scenario: Json, record: Json, forget: Forget, earlier: Sequence[tuple[int, Forget]]) -> Realised | None:
    """Draw the minibatches of a run again; None where every step read every sample."""
    settings = dict(scenario["learning"]["sampling"])
    kind = settings.pop("kind")
    if kind not in SAMPLINGS:
        raise SamplingError(f"there is no sampling {kind!r}")
    sampling = SAMPLINGS[kind](int(scenario["seed"]), int(record["local_steps"]), **settings)
    if sampling is None:
        return None
    return Realised(sampling, np.array(record["samples"], dtype=np.int64), forget, earlier)
