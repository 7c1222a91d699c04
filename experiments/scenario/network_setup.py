"""Build the network of a scenario: its topology, data, model and requests, and the facts known before learning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.arrays import check_memory
from rewindnet.certificates import TrainingRun
from rewindnet.clients.data import Dataset
from rewindnet.clients.data.dataset import Floats
from rewindnet.clients.data.deletion import Arrival, DeletionError
from rewindnet.clients.data.encoders import Features, encode
from rewindnet.clients.models import MODELS, Model, supplied
from rewindnet.clients.steps.learning import InitialModel
from rewindnet.clients.steps.objectives import OBJECTIVES
from rewindnet.experiments.scenario.checkpoints import Checkpoints, misfits, read_checkpoints
from rewindnet.experiments.scenario.client_data import (
    ClientData,
    clients_given,
    divide_data,
    in_templates,
    load_dataset,
    with_attack,
    with_backdoor,
)
from rewindnet.experiments.scenario.deletion import RequestSettings
from rewindnet.experiments.scenario.devices import dtype_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.inputs import InputFile, demand_unchanged, input_files
from rewindnet.experiments.scenario.names import client_title
from rewindnet.experiments.scenario.obstacles import Obstacles
from rewindnet.experiments.scenario.public_data import public_facts, with_public_rows
from rewindnet.experiments.scenario.requests import forget_sets, node_of_request, samples_deleted
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.settings import MixingSettings
from rewindnet.experiments.scenario.topology_setup import TopologySetup, build_topology
from rewindnet.experiments.scenario.training_setup import training_setup
from rewindnet.late import torch
from rewindnet.simulator.training_facts import TrainingSetup, training_facts
from rewindnet.topologies import Graph, Schedule

Integers = NDArray[np.int64]

#: What a model reads that reads tokens, and the data that are of this kind.
_READ = {"prompt": ("prompts of tokens", "facts"), "image-prompt": ("images with prompts of tokens", "concepts")}


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
        class_names: what each class is called in the data, if not by its number.
        checkpoints: what the network learned elsewhere; None where it learns here.
        volunteers: the nodes whose samples are public.
        in_templates: the test prompts [m, p], each in a template; None of data that are no prompts.
        inputs: the files that the scenario reads, by the key that names them; none in a network that is joined alone.
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
    class_names: tuple[str, ...] | None = None
    checkpoints: Checkpoints | None = None
    volunteers: tuple[int, ...] = ()
    in_templates: Floats | None = None
    inputs: Mapping[str, InputFile] = field(default_factory=dict)

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
        return dict(enumerate(self.topology.names or ()))

    @cached_property
    def requesting(self) -> int:
        """The node of the client of the first request."""
        request = self.scenario.deletion.each[0]
        return node_of_request(request, self.topology.names, self.nodes)

    def client(self, node: int) -> str:
        """Return a client for a sentence: by its number, or by its name with its number where they differ."""
        return client_title(node, self.topology.names)

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
        return dtype_of(self.training.dtype.name)

    @property
    def message_bytes(self) -> int:
        """The size of a message that holds one model."""
        return self.model.parameters * self.training.dtype.itemsize

    @property
    def state_bytes(self) -> int:
        """The size of a checkpoint of the whole network: the models, and what the optimizer carries on."""
        size = self.model.parameters + self.training.optimizer.state_size(self.model.parameters)
        return self.nodes * size * self.training.dtype.itemsize

    def samples_deleted(self, request: RequestSettings) -> Any:
        """Return the samples that a request names, as plain data; poisoned samples by their positions."""
        return samples_deleted(request, self.poisoned, self.class_names)


def build_network(scenario: Scenario, *, planning: bool = False, obstacles: Obstacles | None = None) -> NetworkSetup:
    """Build the topology, the data and the deletion of a scenario, and check that they fit together.

    Args:
        scenario: the scenario.
        planning: accept clients that are declared by their numbers of samples, without data; keep a graph that never
            changes as an array of edges, which allows a million nodes.
        obstacles: gathers what can be removed in the scenario, for the caller to refuse; raised here by default.

    Raises:
        UserError: about everything found up to the first part that cannot be built: data, partition, topology, model
            or deletion; or if a file changes while it is read.
    """
    _check_length(scenario)
    found, inputs = Obstacles() if obstacles is None else obstacles, input_files(scenario)
    with found.last_straw():
        data = divide_data(scenario, load_dataset(scenario), clients_given(scenario), planning=planning)
        # A graph that a client leaves needs more than its edges.
        light = planning and scenario.deletion.departure == "relay"
        topology = build_topology(scenario, len(data.samples), planning=light)
        network = _with_checkpoints(join_network(scenario, data, topology, found), found)
    if obstacles is None:
        found.refuse()
    demand_unchanged(inputs, scenario)
    return replace(network, inputs=inputs)


def _check_length(scenario: Scenario) -> None:
    """Refuse more rounds than there is memory for."""
    learning = scenario.learning
    steps = f"{learning.rounds:.4g} rounds of {learning.local_steps:.4g} local steps"
    # Each round has a record, and each step an entry in the bounds of the sensitivity.
    check_memory(float(min(learning.rounds, 10**30)) * min(learning.local_steps, 10**30) * 64, steps, ScenarioError)


def join_network(
    scenario: Scenario, data: ClientData, topology: TopologySetup, obstacles: Obstacles, *, from_disk: bool = True
) -> NetworkSetup:
    """Join the data of the clients and their topology to a network, and check that they fit together.

    Args:
        scenario: the scenario.
        data: the data of its clients.
        topology: the topology before nodes have left, or after.
        obstacles: gathers what keeps clients from leaving, for the caller to refuse.
        from_disk: whether to take features that were computed before.

    Raises:
        UserError: about the first other part that is not valid: features, model or deletion.
    """
    for sentence in scenario.deletion.obstacles:
        obstacles.note(DeletionError(sentence))
    data = data.in_order_of(topology.names)
    topology = topology.named(data.names)
    data = with_public_rows(scenario, data, topology.names)
    data = with_backdoor(scenario, data, topology.names)
    requests = forget_sets(scenario, data, topology.names)
    data = with_attack(scenario, data, requests[-1].forget)
    dataset = data.dataset
    given = scenario.data.features
    features = encode(given.kind, dataset, scenario.seed, given.settings, from_disk=from_disk)
    sizes = supplied(
        scenario.model.kind, features.x.shape[1], dataset.classes, features.shape, dataset.class_names or ()
    )
    _check_prompts(scenario, dataset)
    model: Model = scenario.model.build(*sizes)
    if scenario.deletion.departure == "leave" and not topology.departed:
        topology = _without(topology, requests[-1].forget, obstacles)
    training = training_setup(scenario, model, features, data.samples, topology)
    training = replace(training, public=public_facts(dataset, features))
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
        class_names=dataset.class_names,
        volunteers=data.volunteers,
        in_templates=in_templates(scenario, dataset),
    )


def _check_prompts(scenario: Scenario, dataset: Dataset) -> None:
    """Refuse models, objectives and names that take prompts of another kind, or words that the data do not have."""
    reads = getattr(MODELS[scenario.model.kind], "reads", None)
    if reads not in (None, dataset.layout):
        read, such = _READ[reads]
        raise ScenarioError(
            f"the model {scenario.model.kind} reads {read}, and an example of {dataset.name} is of the layout "
            f"{dataset.layout}; use data such as {such}"
        )
    for method in scenario.unlearning:
        strange = [
            word for word in method.settings.get("new_name", "").split() if word not in (dataset.class_names or ())
        ]
        if strange and reads == "image-prompt":
            raise ScenarioError(
                f"new_name of {method.name} has the word {strange[0]!r}, which is no word of {dataset.name}; take two "
                "of its names, such as Jacob Campbell"
            )
        objective = method.settings.get("objective")
        if objective and getattr(OBJECTIVES[objective["kind"]], "reads_tokens", False) and reads != "prompt":
            raise ScenarioError(
                f"the objective {objective['kind']} of {method.name} joins prompts of tokens, which the model "
                f"{scenario.model.kind} does not read; use the model gpt with data of prompts, such as facts"
            )


def _with_checkpoints(network: NetworkSetup, obstacles: Obstacles) -> NetworkSetup:
    """Return the network with what it learned elsewhere, if the scenario names a folder of checkpoints."""
    scenario, place = network.scenario, network.scenario.learning.checkpoints_from
    if place is None:
        return network
    checkpoints = read_checkpoints(place, network.dtype)
    if network.training.optimizer.state_size(network.model.parameters):
        obstacles.note(
            ScenarioError(
                f"learning.optimizer {scenario.learning.optimizer.kind} carries a state from round to round, and "
                "checkpoints of another program hold models alone; use sgd without momentum, or learn here"
            )
        )
    initial = InitialModel(scenario.seed)
    for sentence in misfits(checkpoints, network.training_run, initial, network.model):
        obstacles.note(ScenarioError(sentence))
    runs = tuple(replace(run, checkpoints_sha256=checkpoints.sha256) for run in network.training_runs)
    return replace(network, checkpoints=checkpoints, training_runs=runs)


def _without(topology: TopologySetup, departed: Collection[int], obstacles: Obstacles) -> TopologySetup:
    """Return the topology after a departure; where it has no weights that is noted, and it gets the default ones."""
    try:
        return topology.without(departed)
    except DeletionError as problem:
        obstacles.note(problem)
        return topology.without(departed, MixingSettings.model_validate({}))
