"""Build the network of a scenario: its topology, data, model and requests, and the facts known before learning."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet import topologies
from rewindnet.certificates import Constant, TrainingRun
from rewindnet.clients.data import Dataset, load
from rewindnet.clients.data.backdoor import Trigger, plant, with_triggered
from rewindnet.clients.data.deletion import Arrival, DeletionError, DeletionRequest, arrivals
from rewindnet.clients.data.features import Features
from rewindnet.clients.data.partitions import PartitionError, declared_sizes, partition
from rewindnet.clients.models import Model
from rewindnet.experiments.scenario.deletion import RequestSettings
from rewindnet.experiments.scenario.devices import DTYPES
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.simulator.training_facts import TrainingSetup, training_facts
from rewindnet.topologies import Graph, Schedule, Stream
from rewindnet.topologies.rng import rng_at

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NetworkSetup:
    """The network of a scenario, for runs and plans.

    Attributes:
        scenario: the scenario.
        graph: the topology; nodes may have names (the node attribute `name`).
        mixing: the schedule of mixing matrices that the network learns with.
        remaining: the schedule after departures; `mixing` itself if no node leaves.
        features: the features of the training and test rows, including triggered rows of a backdoor.
        labels: [n], the labels of the training rows.
        test_labels: [m], the labels of the test rows.
        partition: for each client, its training rows; empty if only numbers of samples are declared.
        poisoned: the positions of the poisoned samples of the client with the backdoor; None without a backdoor.
        training: how the network learns, independently of deletions.
        arrivals: for each request, its round and all samples that are to be forgotten from then on.
        training_runs: for each request, how the network learns up to it, as far as known before learning.
    """

    scenario: Scenario
    graph: Graph
    mixing: Schedule
    remaining: Schedule
    features: Features
    labels: Integers
    test_labels: Integers
    partition: Sequence[Integers]
    poisoned: Integers | None
    training: TrainingSetup
    arrivals: tuple[Arrival, ...]
    training_runs: tuple[TrainingRun, ...]

    @property
    def nodes(self) -> int:
        """N, the number of clients."""
        return self.mixing.nodes

    @cached_property
    def names(self) -> dict[int, str]:
        """The names of the nodes by number; empty if the topology has no names."""
        return nx.get_node_attributes(self.graph, "name") if isinstance(self.graph, nx.Graph) else {}

    @property
    def model(self) -> Model:
        """The model of every client."""
        return self.training.model

    @property
    def samples(self) -> Integers:
        """[N], the number of samples of each client."""
        return self.training.samples

    @property
    def training_run(self) -> TrainingRun:
        """How the network learns up to the last request, which is all of learning."""
        return self.training_runs[-1]

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type that clients compute in."""
        return self.training.dtype

    @property
    def message_bytes(self) -> int:
        """The size of a message that holds one model."""
        return self.model.parameters * self.dtype.itemsize

    def samples_deleted(self, request: RequestSettings) -> Any:
        """Return the samples that a request names, as plain data; poisoned samples by their positions."""
        return _samples_deleted(request, self.poisoned)


def build_network(scenario: Scenario, *, planning: bool = False) -> NetworkSetup:
    """Build the topology, the data and the deletion of a scenario, and check that they fit together.

    Args:
        scenario: the scenario.
        planning: accept clients that are declared by their numbers of samples, without data; keep a graph that never
            changes as an array of edges, which allows a million nodes.

    Raises:
        UserError: about the first part that is not valid: data, partition, topology, model or deletion.
    """
    data = scenario.data
    dataset = load(data.source, data.root, scenario.seed, data.limit, **data.settings)
    if not (planning or len(dataset.x)):
        raise ScenarioError(
            f"the data source {dataset.name} holds no samples to learn from; it can be planned with rewindnet plan, "
            "but not run"
        )
    rows, samples = _partition(scenario, dataset, planning)
    dataset, poisoned = _with_backdoor(scenario, dataset, rows)
    features: Features = data.features.build(dataset, scenario.seed)
    graph, weights = _topology(scenario, len(samples), planning)
    model: Model = scenario.model.build(features.x.shape[1], dataset.classes)
    requests = _arrivals(scenario, _ClientLabels(dataset.y, rows, samples), poisoned)
    departed = tuple(requests[-1].forget) if scenario.deletion.departure == "leave" else ()
    mixing = _schedule(scenario, graph, weights)
    remaining = _schedule(scenario, graph, _mix_without(scenario, graph, departed), departed) if departed else None
    training = _training(scenario, model, features, samples, mixing, departed, remaining)
    return NetworkSetup(
        scenario=scenario,
        graph=graph,
        mixing=mixing,
        remaining=mixing if remaining is None else remaining,
        features=features,
        labels=dataset.y,
        test_labels=dataset.test_y,
        partition=rows,
        poisoned=poisoned,
        training=training,
        arrivals=requests,
        training_runs=training_facts(training, requests),
    )


def _training(
    scenario: Scenario,
    model: Model,
    features: Features,
    samples: Integers,
    mixing: Schedule,
    departed: tuple[int, ...],
    remaining: Schedule | None,
) -> TrainingSetup:
    """Describe how the network learns, independently of deletions."""
    learning = scenario.learning
    return TrainingSetup(
        model=model,
        dtype=DTYPES[scenario.backend.dtype],
        mixing=mixing,
        order=learning.order,
        constants=model.constants(Constant(features.radius, features.provenance)),
        step_size=learning.step_size,
        local_steps=learning.local_steps,
        samples=samples,
        seed=scenario.seed,
        sampling=learning.sampling.build(scenario.seed, learning.local_steps),
        radius=learning.radius,
        departed=departed,
        remaining=remaining,
        after_request=learning.after_request,
    )


def _partition(scenario: Scenario, dataset: Dataset, planning: bool) -> tuple[list[Integers], Integers]:
    """Divide the training rows among the clients.

    Returns:
        The rows of each client, empty if only numbers of samples are declared; and the numbers of samples, [N].
    """
    settings = scenario.partition
    if planning and settings.kind == "declared":
        return [], declared_sizes(settings.clients, **settings.settings)
    if not len(dataset.y):
        raise PartitionError(
            f"the data source {dataset.name} has no samples to deal out to clients by {settings.kind}; use "
            "partition: {kind: declared, clients: 1000, samples: 100} to say how many each client holds"
        )
    generator = rng_at(scenario.seed, Stream.PARTITION)
    rows = partition(settings.kind, dataset.y, dataset.client, settings.clients, generator, **settings.settings)
    return rows, np.array([len(of_client) for of_client in rows], dtype=np.int64)


def _with_backdoor(scenario: Scenario, dataset: Dataset, rows: Sequence[Integers]) -> tuple[Dataset, Integers | None]:
    """Add the backdoor of the scenario to the data: poisoned training rows, and a triggered copy of every test row.

    Returns:
        The data, and the positions of the poisoned samples among those of their client; None without a backdoor.

    Raises:
        BackdoorError: if the data cannot carry the trigger.
    """
    backdoor = scenario.data.backdoor
    if backdoor is None:
        return dataset, None
    trigger = Trigger(backdoor.target, backdoor.size, backdoor.value, backdoor.corner)
    dataset, positions = plant(dataset, rows, trigger, backdoor.client, backdoor.samples, scenario.seed)
    return with_triggered(dataset, trigger), positions


def _topology(scenario: Scenario, nodes: int, planning: bool) -> tuple[Graph, csr_array]:
    """Build the graph and its mixing matrix [N, N]."""
    topology = scenario.topology
    never_changes = topology.schedule.kind == "static" and scenario.learning.kind == "gossip"
    # A schedule that changes from round to round may need more of its graph than an array of edges.
    build = topologies.build_light if planning and never_changes else topologies.build
    graph = build(topology.kind, nodes, scenario.seed, **topology.settings)
    return graph, topologies.mix(topology.mixing.kind, graph, **topology.mixing.settings)


def _schedule(scenario: Scenario, graph: Graph, weights: csr_array, departed: tuple[int, ...] = ()) -> Schedule:
    """Build the schedule: which links and nodes are active, and which node sends to which, in each round."""
    schedule: Schedule = scenario.topology.schedule.build(graph, weights, scenario.seed, departed)
    learning: Schedule = scenario.learning.build(schedule, scenario.seed, departed)
    return learning


def _mix_without(scenario: Scenario, graph: Graph, departed: Collection[int]) -> csr_array:
    """Compute the mixing matrix of the graph without some nodes, by the same rule; they are left isolated.

    Raises:
        DeletionError: if the rule has no weights for the remaining network.
    """
    rule = scenario.topology.mixing
    try:
        return topologies.mix_without(rule.kind, graph, departed, **rule.settings)
    except topologies.TopologyError as problem:
        raise DeletionError(
            f"deletion.departure leave: the mixing rule {rule.kind} has no weights for the network "
            f"that remains ({problem}); use metropolis-hastings, or departure relay"
        ) from None


def _arrivals(scenario: Scenario, labels: "_ClientLabels", poisoned: Integers | None) -> tuple[Arrival, ...]:
    """Determine the forget set of each request."""
    T = scenario.learning.rounds
    requests = []
    for request in scenario.deletion.each:
        samples = _samples_deleted(request, poisoned)
        if labels.declared and request.client < len(labels) and isinstance(samples, dict) and "class" in samples:
            raise DeletionError(
                "deletion.samples names a class, but without data it is not known which clients have it"
            )
        requests.append(DeletionRequest(request.client, samples, request.round or T))
    return tuple(arrivals(requests, labels, T, scenario.seed))


def _samples_deleted(request: RequestSettings, poisoned: Integers | None) -> Any:
    """Return the samples that a request names, with poisoned samples by their positions."""
    if request.samples == "poisoned" and poisoned is not None:
        return {"indices": poisoned.tolist()}
    return request.plain_samples


class _ClientLabels(Sequence[Integers]):
    """The labels of the samples of each client, made on access; zeros if only numbers of samples are declared."""

    def __init__(self, labels: Integers, rows: Sequence[Integers], samples: Integers) -> None:
        self._labels, self._rows, self._samples = labels, rows, samples

    @property
    def declared(self) -> bool:
        """Whether only numbers of samples are declared."""
        return not self._rows

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, client: Any) -> Any:
        if self.declared:
            return np.zeros(self._samples[client], dtype=np.int64)
        return self._labels[self._rows[client]]

    def __iter__(self) -> Iterator[Integers]:
        return (self[client] for client in range(len(self)))
