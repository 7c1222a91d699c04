"""Rebuild the mixing schedules and training runs of a finished run from its records."""

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
from scipy.sparse import csr_array

from rewindnet import topologies
from rewindnet.certificates import Certificate, Mixing, TrainingRun, go_on
from rewindnet.certificates.training_record import training_of_record
from rewindnet.clients.training.sampling import SAMPLINGS, Forget, Realised, SamplingError
from rewindnet.experiments.folder.files import Json


def recorded_schedules(
    topology: Json, graph: nx.Graph, weights: csr_array
) -> tuple[topologies.Schedule, topologies.Schedule | None]:
    """Build the schedules that a `topology.json` describes.

    Args:
        topology: the content of `topology.json`.
        graph: the graph in it.
        weights: [N, N], the mixing matrix in it.

    Returns:
        The schedule of the remaining network, and the schedule before nodes left, or None if no node has left.

    Raises:
        TopologyError: if the record does not describe a schedule.
    """
    seed, departed = topology.get("seed"), topology.get("departed")
    if not isinstance(seed, int) or seed < 0 or not isinstance(departed, list):
        raise topologies.TopologyError("its seed or its list of departed nodes is missing")
    before = _schedule(topology, graph, weights, seed, ())
    if not departed:
        return before, None
    row, column, value = (np.array(part) for part in zip(*topology.get("remaining", []), strict=True))
    entries = csr_array((value.astype(float), (row.astype(int), column.astype(int))), shape=weights.shape)
    return _schedule(topology, graph, entries, seed, tuple(departed)), before


def _schedule(
    topology: Json, graph: nx.Graph, weights: csr_array, seed: int, departed: tuple[int, ...]
) -> topologies.Schedule:
    """Build the schedule of the topology, and on it the schedule of learning."""
    schedule, learning = topology.get("schedule"), topology.get("learning")
    if not isinstance(schedule, dict) or not isinstance(learning, dict):
        raise topologies.TopologyError("its schedule, or how the network learns on it, is missing")
    if learning.get("kind") not in topologies.LEARNING:
        raise topologies.TopologyError("the way in which the network learns is not known")
    settings, learning_settings = (
        {key: value for key, value in part.items() if key != "kind"} for part in (schedule, learning)
    )
    links = topologies.schedule(str(schedule.get("kind")), graph, weights, seed, departed, **settings)
    return topologies.LEARNING[str(learning["kind"])](links, seed, departed, **learning_settings)


def recorded_training_runs(
    scenario: Json, learning: Json, mixing: Mixing, mixing_before: Mixing | None
) -> list[TrainingRun]:
    """Rebuild how the network learned up to each request, and draw the minibatches again.

    Args:
        scenario: the resolved scenario.
        learning: the content of `learning.json`.
        mixing: the mixing matrices of the remaining network.
        mixing_before: the mixing matrices before nodes left; None if no node has left.

    Returns:
        One training run for each request.

    Raises:
        CertificateError: if a record is damaged.
        SamplingError: if the minibatches cannot be drawn.
    """
    runs: list[TrainingRun] = []
    earlier: list[tuple[int, Forget]] = []
    for record in learning["requests"]:
        forget = {int(node): np.array(positions, dtype=np.int64) for node, positions in record["forget"].items()}
        batches = _batches(scenario, record, forget, tuple(earlier))
        runs.append(training_of_record(record, mixing, mixing_before, batches))
        earlier.append((runs[-1].rounds, forget))
    return runs


def released_training_runs(
    scenario: Json, training_runs: Sequence[TrainingRun], certificates: Sequence[Certificate]
) -> list[TrainingRun]:
    """Return, for each release, how the network had learned up to its request, going on from the releases before it.

    Args:
        scenario: the resolved scenario.
        training_runs: for each request, how the network learned up to it, were it not for releases.
        certificates: of all releases, in order.

    Raises:
        CertificateError: if learning cannot have gone on from one of the releases.
    """
    methods, runs = len(scenario["unlearning"]), list[TrainingRun]()
    for index in range(len(certificates)):
        training = training_runs[index // methods]
        if index >= methods:
            earlier = certificates[index - methods]
            training = go_on(training, runs[index - methods], earlier.release, earlier.claim)
        runs.append(training)
    return runs


def goes_on_from_releases(scenario: Mapping[str, Any]) -> bool:
    """Return whether learning goes on from released models after a request.

    Args:
        scenario: the resolved scenario.
    """
    return bool(scenario["learning"].get("after_request") == "continue-from-release")


def _batches(scenario: Json, record: Json, forget: Forget, earlier: Sequence[tuple[int, Forget]]) -> Realised | None:
    """Draw the minibatches of a run again; return None if every step uses all samples."""
    settings = dict(scenario["learning"]["sampling"])
    kind = settings.pop("kind")
    if kind not in SAMPLINGS:
        raise SamplingError(f"there is no sampling {kind!r}; there are: {', '.join(SAMPLINGS)}")
    sampling = SAMPLINGS[kind](int(scenario["seed"]), int(record["local_steps"]), **settings)
    if sampling is None:
        return None
    return Realised(sampling, np.array(record["samples"], dtype=np.int64), forget, earlier)
