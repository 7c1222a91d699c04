"""Build the network of a scenario: its topology, data, model and requests, and the facts known before learning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray

from rewindnet.arrays import check_memory
from rewindnet.certificates import Constant, TrainingRun
from rewindnet.clients.data.deletion import Arrival, DeletionError, DeletionRequest, arrivals
from rewindnet.clients.data.features import Features
from rewindnet.clients.models import Model
from rewindnet.experiments.scenario.client_data import ClientData, clients_given, divide_data, load_dataset
from rewindnet.experiments.scenario.deletion import RequestSettings
from rewindnet.experiments.scenario.devices import DTYPES
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.topology_setup import TopologySetup, build_topology
from rewindnet.simulator.training_facts import TrainingSetup, training_facts
from rewindnet.topologies import Graph, Schedule

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NetworkSetup:
    """The network of a scenario, for runs and plans.

    Attributes:
        scenario: the scenario.
        topology: the graph and the mixing schedules.
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
    topology: TopologySetup
    features: Features
    labels: Integers
    test_labels: Integers
    partition: Sequence[Integers]
    poisoned: Integers | None
    training: TrainingSetup
    arrivals: tuple[Arrival, ...]
    training_runs: tuple[TrainingRun, ...]

    @property
    def graph(self) -> Graph:
        """The graph; nodes may have names (the node attribute `name`)."""
        return self.topology.graph

    @property
    def mixing(self) -> Schedule:
        """The schedule of mixing matrices that the network learns with."""
        return self.topology.mixing

    @property
    def remaining(self) -> Schedule:
        """The schedule after departures; `mixing` itself if no node leaves."""
        return self.topology.remaining

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
    learning = scenario.learning
    steps = f"{learning.rounds:.4g} rounds of {learning.local_steps:.4g} local steps"
    # Each round has a record, and each step an entry in the bounds of the sensitivity.
    check_memory(float(min(learning.rounds, 10**30)) * min(learning.local_steps, 10**30) * 64, steps, ScenarioError)
    data = divide_data(scenario, load_dataset(scenario), clients_given(scenario), planning=planning)
    return join_network(scenario, data, build_topology(scenario, len(data.samples), planning=planning))


def join_network(scenario: Scenario, data: ClientData, topology: TopologySetup) -> NetworkSetup:
    """Join the data of the clients and their topology to a network, and check that they fit together.

    Args:
        scenario: the scenario.
        data: the data of its clients.
        topology: the topology before nodes have left, or after.

    Raises:
        UserError: about the first part that is not valid: features, model or deletion.
    """
    dataset = data.dataset
    features: Features = scenario.data.features.build(dataset, scenario.seed)
    model: Model = scenario.model.build(features.x.shape[1], dataset.classes)
    requests = _arrivals(scenario, _ClientLabels(dataset.y, data.rows, data.samples), data.poisoned)
    if scenario.deletion.departure == "leave" and not topology.departed:
        topology = topology.without(requests[-1].forget)
    training = _training(scenario, model, features, data.samples, topology)
    return NetworkSetup(
        scenario=scenario,
        topology=topology,
        features=features,
        labels=dataset.y,
        test_labels=dataset.test_y,
        partition=data.rows,
        poisoned=data.poisoned,
        training=training,
        arrivals=requests,
        training_runs=training_facts(training, requests),
    )


def _training(
    scenario: Scenario,
    model: Model,
    features: Features,
    samples: Integers,
    topology: TopologySetup,
) -> TrainingSetup:
    """Describe how the network learns, independently of deletions."""
    learning = scenario.learning
    return TrainingSetup(
        model=model,
        dtype=DTYPES[scenario.backend.dtype],
        mixing=topology.mixing,
        order=learning.order,
        constants=model.constants(Constant(features.radius, features.provenance)),
        step_size=learning.step_size,
        local_steps=learning.local_steps,
        samples=samples,
        seed=scenario.seed,
        sampling=learning.sampling.build(scenario.seed, learning.local_steps),
        radius=learning.radius,
        departed=topology.departed,
        remaining=topology.remaining if topology.departed else None,
        after_request=learning.after_request,
    )


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
    return tuple(arrivals(requests, labels, T, scenario.seed, scenario.noise_is_secret))


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
