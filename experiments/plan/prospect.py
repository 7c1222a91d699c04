"""From a scenario to all that a plan needs of it: the network, the constants and the clients' numbers of samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewindnet import topologies
from rewindnet.certificates import Constant, Spectrum, TrainingRun
from rewindnet.clients.data import Dataset, load
from rewindnet.clients.data.deletion import DeletionError, deletable, forget_set
from rewindnet.clients.data.features import Features
from rewindnet.clients.data.partitions import PartitionError, declared_sizes, partition
from rewindnet.clients.models import Model
from rewindnet.clients.training.curvature import pooled_spectrum
from rewindnet.experiments.scenario.assemble import planted, samples_of
from rewindnet.experiments.scenario.devices import DTYPES
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.simulator.training_facts import training_facts
from rewindnet.topologies import Graph, Schedule, Stream
from rewindnet.topologies.rng import rng_at

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prospect:
    """A network as it would learn.

    Attributes:
        scenario: of the run that is planned.
        graph: who talks to whom.
        mixing: its mixing matrices.
        learning: how it would learn, and what the scenario's own request would delete.
        counts: [N], how many samples each client would delete if the request were its own.
        message_bytes: the size of a message.
        spectrum: the curvature of what it would learn, where learning starts; None without data, or a model that does
            not know it.
    """

    scenario: Scenario
    graph: Graph
    mixing: Schedule
    learning: TrainingRun
    counts: Counts
    message_bytes: int
    spectrum: Spectrum | None


def survey(scenario: Scenario) -> Prospect:
    """What a scenario says of a run without running it; data are read only as far as there are any.

    Raises:
        ValueError: a sentence about whatever makes no sense: data, partition, topology, model or deletion.
    """
    data, learning = scenario.data, scenario.learning
    if (
        learning.sampling.build(scenario.seed, learning.local_steps) is not None
        or scenario.deletion.departure == "leave"
    ):
        raise ScenarioError(
            "what is read in minibatches, or after a client leaves, depends on which client asks, and is not planned: "
            "use learning.sampling=full and deletion.departure=relay"
        )
    if len(scenario.deletion.each) > 1:
        raise DeletionError("a plan is of one request at a time; give deletion.client and deletion.samples")
    dataset = load(data.source, data.root, scenario.seed, data.limit, **data.settings)
    sizes, shards = _clients(scenario, dataset)
    dataset, poisoned = planted(scenario, dataset, shards or [])
    features: Features = data.features.build(dataset, scenario.seed)
    steady = scenario.topology.schedule.kind == "static" and learning.kind == "gossip"
    # What changes from round to round may ask its graph more than an array of edges knows.
    build = topologies.build_light if steady else topologies.build
    graph = build(scenario.topology.kind, len(sizes), scenario.seed, **scenario.topology.settings)
    weights = topologies.mix(scenario.topology.mixing.kind, graph, **scenario.topology.mixing.settings)
    mixing: Schedule = learning.build(scenario.topology.schedule.build(graph, weights, scenario.seed), scenario.seed)
    model: Model = scenario.model.build(features.x.shape[1], dataset.classes)
    dtype = DTYPES[scenario.backend.dtype]
    labels = None if shards is None else [dataset.y[shard] for shard in shards]
    forget, counts = _requests(scenario, sizes, labels, poisoned)
    foreseen = training_facts(
        model=model,
        dtype=dtype,
        mixing=mixing,
        order=learning.order,
        constants=model.constants(Constant(features.radius, features.provenance)),
        rounds=learning.rounds,
        step_size=learning.step_size,
        local_steps=learning.local_steps,
        samples=sizes,
        forget=forget,
        seed=scenario.seed,
        radius=learning.radius,
    )
    size = model.parameters * dtype.itemsize
    return Prospect(scenario, graph, mixing, foreseen, counts, size, pooled_spectrum(model, features.x))


def _clients(scenario: Scenario, dataset: Dataset) -> tuple[Counts, list[NDArray[np.int64]] | None]:
    """[N], how many samples each client holds, and their rows if there are data."""
    spread = scenario.partition
    if spread.kind == "declared":
        return declared_sizes(spread.clients, **spread.settings), None
    if not len(dataset.y):
        raise PartitionError(
            f"the data source {dataset.name} has no samples to deal out to clients by {spread.kind}; use "
            "partition: {kind: declared, clients: 1000, samples: 100} to say how many each client holds"
        )
    draw = rng_at(scenario.seed, Stream.PARTITION)
    shards = partition(spread.kind, dataset.y, dataset.client, spread.clients, draw, **spread.settings)
    return np.array([len(shard) for shard in shards], dtype=np.int64), shards


def _requests(
    scenario: Scenario, sizes: Counts, labels: Sequence[NDArray[np.int64]] | None, poisoned: Counts | None
) -> tuple[dict[int, Counts], Counts]:
    """What the scenario's own client deletes, and how many samples each client would."""
    client = scenario.deletion.each[0].client
    if client >= len(sizes):
        raise DeletionError(f"deletion.client {client} does not exist; clients are 0 to {len(sizes) - 1}")
    asked = samples_of(scenario.deletion.each[0], poisoned)
    counts = deletable(asked, labels, sizes)
    own = np.zeros(sizes[client], dtype=np.int64) if labels is None else labels[client]
    return {client: forget_set(asked, own, client, scenario.seed)}, counts
