"""From a scenario to a network ready to learn. Everything that can be wrong with a scenario is found here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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
from rewindnet.clients.data.deletion import Arrival, Asked, DeletionError, arrivals
from rewindnet.clients.data.features import Features
from rewindnet.clients.data.partitions import partition
from rewindnet.clients.methods import Method, MethodError
from rewindnet.clients.models import Model
from rewindnet.clients.training.client_block import LocalTraining, make_block
from rewindnet.clients.training.parallel import one_torch_thread, use_threads
from rewindnet.clients.training.sampling import Realised
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.scenario.devices import DTYPES, device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.evaluation import Evaluation, build_evaluation
from rewindnet.experiments.scenario.scenario import Request, Scenario
from rewindnet.simulator.cost.network_model import NetworkModel
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.training_facts import counted, training_facts
from rewindnet.simulator.transports.base import Transport
from rewindnet.simulator.transports.network import Network
from rewindnet.topologies import Schedule, Stream
from rewindnet.topologies.rng import rng_at


@dataclass(frozen=True)
class Experiment:
    """A scenario made real, but for the clients themselves: whoever runs some of them makes those with `crew`.

    `mixing` is the network that learns; `remaining` what is left of it once those who leave have left. For each request
    there is what is to be forgotten, what is known in advance of learning, and what accuracy is measured on.
    """

    scenario: Scenario
    graph: nx.Graph
    mixing: Schedule
    remaining: Schedule
    local_training: LocalTraining
    network_model: NetworkModel
    model: Model
    features: Features
    labels: NDArray[np.int64]
    shards: Sequence[NDArray[np.int64]]
    arrivals: tuple[Arrival, ...]
    requests: tuple[TrainingRun, ...]
    evaluations: tuple[Evaluation, ...]
    methods: tuple[Method, ...]

    @property
    def foreseen(self) -> TrainingRun:
        """What is known in advance of all of learning."""
        return self.requests[-1]

    def worker(self, nodes: Sequence[int], device: torch.device | None = None) -> ClientWorker:
        """The clients at these nodes.

        Args:
            nodes: which, increasing.
            device: to compute on; that of the scenario by default.
        """
        learning, backend = self.scenario.learning, self.scenario.backend
        rows = np.concatenate([self.shards[node] for node in nodes])
        ends = np.cumsum([len(self.shards[node]) for node in nodes])
        block = make_block(
            self.model,
            torch.from_numpy(self.features.x[rows]).to(device or device_of(backend.device), DTYPES[backend.dtype]),
            self.labels[rows],
            np.split(np.arange(len(rows)), ends[:-1]),
            step_size=learning.step_size,
            local_steps=learning.local_steps,
            nodes=nodes,
            node_by_node=backend.precision == "exact",
            local_training=self.local_training,
        )
        return ClientWorker(block, *(arrival.forget for arrival in self.arrivals), departed=self.foreseen.departed)

    def simulation(self, network: Network) -> Simulation:
        """The network, ready to learn."""
        size = self.model.parameters * DTYPES[self.scenario.backend.dtype].itemsize
        return Simulation(network, self.requests, size, self.network_model, self.scenario.seed)


def assemble(scenario: Scenario) -> Experiment:
    """Build the topology, the data, the deletion request and the methods, and find everything that is wrong with them.

    Raises:
        ValueError: a sentence about whatever makes no sense: data, partition, topology, model, deletion, method, step.
    """
    one_torch_thread()
    use_threads(scenario.backend.threads)
    dataset = load(
        scenario.data.source, scenario.data.root, scenario.seed, scenario.data.limit, **scenario.data.settings
    )
    if not len(dataset.x):
        raise ScenarioError(
            f"the data source {dataset.name} holds no samples to learn from; it can be planned with, by "
            "rewindnet plan, but not run"
        )
    shards = partition(
        scenario.partition.kind,
        dataset.y,
        dataset.client,
        scenario.partition.clients,
        rng_at(scenario.seed, Stream.PARTITION),
        **scenario.partition.settings,
    )
    dataset, poisoned = planted(scenario, dataset, shards)
    features: Features = scenario.data.features.build(dataset, scenario.seed)
    graph = topologies.build(scenario.topology.kind, len(shards), scenario.seed, **scenario.topology.settings)
    weights = topologies.mix(scenario.topology.mixing.kind, graph, **scenario.topology.mixing.settings)
    model: Model = scenario.model.build(features.x.shape[1], dataset.classes)
    asked = _arrivals(scenario, dataset, shards, poisoned)
    departed = tuple(asked[-1].forget) if scenario.deletion.departure == "leave" else ()
    mixing = _schedule(scenario, graph, weights)
    remaining = _schedule(scenario, graph, _remaining(scenario, graph, departed), departed) if departed else mixing
    sampling = scenario.learning.sampling.build(scenario.seed, scenario.learning.local_steps)
    samples = np.array([len(shard) for shard in shards], dtype=np.int64)
    requests = []
    for at, arrival in enumerate(asked):
        earlier = [(one.round, one.forget) for one in asked[:at]]
        foreseen = training_facts(
            model=model,
            dtype=DTYPES[scenario.backend.dtype],
            mixing=remaining,
            order=scenario.learning.order,
            constants=model.constants(Constant(features.radius, features.provenance)),
            rounds=arrival.round,
            step_size=scenario.learning.step_size,
            local_steps=scenario.learning.local_steps,
            samples=samples,
            forget=arrival.forget,
            seed=scenario.seed,
            earlier_deletions=tuple((round, counted(forget, len(shards))) for round, forget in earlier),
            batches=None if sampling is None else Realised(sampling, samples, arrival.forget, earlier),
            radius=scenario.learning.radius,
            departed=departed,
            mixing_before=mixing if departed else None,
        )
        requests.append(foreseen)
    transport: Transport = scenario.backend.build()
    transport.check(len(shards))
    methods: tuple[Method, ...] = tuple(method.build().seeded(scenario.seed) for method in scenario.unlearning)
    for method in methods:
        for foreseen in requests:
            method.check(foreseen)
        _check_shared_noise(method, transport)
    return Experiment(
        scenario=scenario,
        graph=graph,
        mixing=mixing,
        remaining=remaining,
        local_training=LocalTraining(sampling, mixing.participating, scenario.learning.radius),
        network_model=scenario.network.build(graph, scenario.seed),
        model=model,
        features=features,
        labels=dataset.y,
        shards=shards,
        arrivals=tuple(asked),
        requests=tuple(requests),
        evaluations=tuple(
            build_evaluation(scenario, features, dataset, model, shards, asked[: at + 1]) for at in range(len(asked))
        ),
        methods=methods,
    )


def planted(
    scenario: Scenario, dataset: Dataset, shards: Sequence[NDArray[np.int64]]
) -> tuple[Dataset, NDArray[np.int64] | None]:
    """The data with the scenario's backdoor, and the positions of the poisoned samples in their client's own.

    With it, test rows are there twice, the second time with the trigger. Without it: the data as they are, and None.

    Raises:
        BackdoorError: if these data cannot have it.
    """
    backdoor = scenario.data.backdoor
    if backdoor is None:
        return dataset, None
    trigger = Trigger(backdoor.target, backdoor.size, backdoor.value, backdoor.corner)
    dataset, positions = plant(dataset, shards, trigger, backdoor.client, backdoor.samples, scenario.seed)
    return with_triggered(dataset, trigger), positions


def samples_of(request: Request, poisoned: NDArray[np.int64] | None) -> Any:
    """What a request deletes, with poisoned samples named one by one."""
    return (
        request.plain_samples if request.samples != "poisoned" or poisoned is None else {"indices": poisoned.tolist()}
    )


def _schedule(scenario: Scenario, graph: nx.Graph, weights: csr_array, departed: tuple[int, ...] = ()) -> Schedule:
    """Who hears whom in which round, and who is awake."""
    schedule: Schedule = scenario.topology.schedule.build(graph, weights, scenario.seed, departed)
    learning: Schedule = scenario.learning.build(schedule, scenario.seed, departed)
    return learning


def _remaining(scenario: Scenario, graph: nx.Graph, departed: Collection[int]) -> csr_array:
    """The mixing matrix of the graph without those that leave, by the same rule; they are left on their own."""
    rule = scenario.topology.mixing
    try:
        return topologies.mix_without(rule.kind, graph, departed, **rule.settings)
    except topologies.TopologyError as problem:
        raise DeletionError(
            f"deletion.departure leave: the mixing rule {rule.kind} has no weights for the network "
            f"that remains ({problem}); use metropolis-hastings, or departure relay"
        ) from None


def _check_shared_noise(method: Method, transport: Transport) -> None:
    """One vector for everybody, drawn from the operating system, cannot be had in several processes."""
    if method.shares_secret_noise and not transport.one_process:
        raise MethodError(
            "the view average takes one noise vector for all clients; with noise_source os only a single process has "
            "it: use backend.kind=in-process"
        )


def _arrivals(
    scenario: Scenario, dataset: Dataset, shards: list[NDArray[np.int64]], poisoned: NDArray[np.int64] | None
) -> list[Arrival]:
    """What is to be forgotten, request by request."""
    T, requests = scenario.learning.rounds, scenario.deletion.each
    asked = [Asked(request.client, samples_of(request, poisoned), request.round or T) for request in requests]
    return arrivals(asked, [dataset.y[shard] for shard in shards], T, scenario.seed)
