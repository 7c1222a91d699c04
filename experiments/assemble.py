"""From a scenario to a network ready to learn. Everything that can be wrong with a scenario is found here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

import topologies
from certificates import Constant, Learning
from clients.block import Habits, make_block
from clients.crew import Crew
from clients.data import Dataset, load
from clients.deletion import Arrival, Asked, DeletionError, arrivals
from clients.features import Features
from clients.methods import Method, MethodError
from clients.models import Model
from clients.parallel import one_torch_thread, use_threads
from clients.partitions import partition
from clients.sampling import Realised
from experiments.registries import ScenarioError
from experiments.scenario import Scenario
from simulator.network import Network
from simulator.simulation import Simulation, counted, foresee
from simulator.transport import Transport
from topologies import Links, Purpose, Schedule, coins

DTYPES = {"float64": torch.float64, "float32": torch.float32}

#: Retained samples that accuracy is measured on, at most: a fixed draw from all of them.
_RETAIN_SAMPLES = 10_000


@dataclass(frozen=True)
class Evaluation:
    """The samples that accuracy is measured on: design [m, q] and targets [m] for test, retain and forget."""

    sets: Mapping[str, tuple[Tensor, Tensor]]


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
    habits: Habits
    links: Links
    model: Model
    features: Features
    labels: NDArray[np.int64]
    shards: Sequence[NDArray[np.int64]]
    arrivals: tuple[Arrival, ...]
    requests: tuple[Learning, ...]
    evaluations: tuple[Evaluation, ...]
    methods: tuple[Method, ...]

    @property
    def foreseen(self) -> Learning:
        """What is known in advance of all of learning."""
        return self.requests[-1]

    def crew(self, nodes: Sequence[int], device: torch.device | None = None) -> Crew:
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
            habits=self.habits,
        )
        return Crew(block, *(arrival.forget for arrival in self.arrivals), left=self.foreseen.left)

    def simulation(self, network: Network) -> Simulation:
        """The network, ready to learn."""
        size = self.model.parameters * DTYPES[self.scenario.backend.dtype].itemsize
        return Simulation(network, self.requests, size, self.links, self.scenario.seed)


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
    features: Features = scenario.data.features.build(dataset, scenario.seed)
    shards = partition(
        scenario.partition.kind,
        dataset.y,
        dataset.client,
        scenario.partition.clients,
        coins(scenario.seed, Purpose.PARTITION),
        **scenario.partition.settings,
    )
    graph = topologies.build(scenario.topology.kind, len(shards), scenario.seed, **scenario.topology.settings)
    weights = topologies.mix(scenario.topology.mixing.kind, graph, **scenario.topology.mixing.settings)
    model: Model = scenario.model.build(features.x.shape[1], dataset.classes)
    asked = _arrivals(scenario, dataset, shards)
    left = tuple(asked[-1].forget) if scenario.deletion.departure == "leave" else ()
    mixing = _schedule(scenario, graph, weights)
    remaining = _schedule(scenario, graph, _remaining(scenario, graph, left), left) if left else mixing
    sampling = scenario.learning.sampling.build(scenario.seed, scenario.learning.local_steps)
    samples = np.array([len(shard) for shard in shards], dtype=np.int64)
    requests = []
    for at, arrival in enumerate(asked):
        earlier = [(one.round, one.forget) for one in asked[:at]]
        foreseen = foresee(
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
            gone=tuple((round, counted(forget, len(shards))) for round, forget in earlier),
            batches=None if sampling is None else Realised(sampling, samples, arrival.forget, earlier),
            radius=scenario.learning.radius,
            left=left,
            before=mixing if left else None,
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
        habits=Habits(sampling, mixing.awake, scenario.learning.radius),
        links=scenario.network.build(graph, scenario.seed),
        model=model,
        features=features,
        labels=dataset.y,
        shards=shards,
        arrivals=tuple(asked),
        requests=tuple(requests),
        evaluations=tuple(_evaluation(scenario, features, dataset, model, shards, one.forget) for one in asked),
        methods=methods,
    )


def _schedule(scenario: Scenario, graph: nx.Graph, weights: csr_array, left: tuple[int, ...] = ()) -> Schedule:
    """Who hears whom in which round, and who is awake."""
    schedule: Schedule = scenario.topology.schedule.build(graph, weights, scenario.seed, left)
    learning: Schedule = scenario.learning.build(schedule, scenario.seed, left)
    return learning


def _remaining(scenario: Scenario, graph: nx.Graph, left: Collection[int]) -> csr_array:
    """The mixing matrix of the graph without those that leave, by the same rule; they are left on their own."""
    rule = scenario.topology.mixing
    try:
        return topologies.mix_without(rule.kind, graph, left, **rule.settings)
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


def _arrivals(scenario: Scenario, dataset: Dataset, shards: list[NDArray[np.int64]]) -> list[Arrival]:
    """What is to be forgotten, request by request."""
    T = scenario.learning.rounds
    asked = [Asked(request.client, request.plainly, request.round or T) for request in scenario.deletion.each]
    return arrivals(asked, [dataset.y[shard] for shard in shards], T, scenario.seed)


def device_of(wanted: str, rank: int = 0) -> torch.device:
    """The device of that name; processes on one machine share its GPUs in turn.

    Args:
        wanted: auto, cpu or cuda.
        rank: of this process among those on this machine.

    Raises:
        ScenarioError: if there is no such device.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ScenarioError("backend.device is cuda, but torch finds no CUDA device here; use auto or cpu")
    if not available or wanted == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", rank % torch.cuda.device_count())


def _evaluation(
    scenario: Scenario,
    features: Features,
    dataset: Dataset,
    model: Model,
    shards: list[NDArray[np.int64]],
    forget: Mapping[int, NDArray[np.int64]],
) -> Evaluation:
    like = torch.empty(0, dtype=DTYPES[scenario.backend.dtype], device=device_of(scenario.backend.device))
    forgotten = np.concatenate([shards[node][gone] for node, gone in forget.items()])
    retained = np.setdiff1d(np.concatenate(shards), forgotten)
    if len(retained) > _RETAIN_SAMPLES:
        retained = np.sort(coins(scenario.seed, Purpose.EVALUATION).choice(retained, _RETAIN_SAMPLES, replace=False))

    def ready(x: NDArray[np.float32], y: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return model.design(torch.from_numpy(x).to(like)), torch.from_numpy(model.targets(y)).to(like.device)

    sets = {
        "test": ready(features.test_x, dataset.test_y),
        "forget": ready(features.x[forgotten], dataset.y[forgotten]),
    }
    if len(retained):
        sets["retain"] = ready(features.x[retained], dataset.y[retained])
    return Evaluation(sets)
