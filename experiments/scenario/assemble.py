"""From a scenario to a network ready to learn. Everything that can be wrong with a scenario is found here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet import topologies
from rewindnet.certificates import Constant, Learning
from rewindnet.clients.data import Dataset, load
from rewindnet.clients.data.backdoor import Trigger, plant, with_triggered
from rewindnet.clients.data.deletion import Arrival, Asked, DeletionError, arrivals
from rewindnet.clients.data.features import Features
from rewindnet.clients.data.partitions import partition
from rewindnet.clients.methods import Method, MethodError
from rewindnet.clients.metrics.membership import Suspects, class_weights
from rewindnet.clients.models import Model
from rewindnet.clients.training.client_block import Habits, make_block
from rewindnet.clients.training.parallel import one_torch_thread, use_threads
from rewindnet.clients.training.sampling import Realised
from rewindnet.clients.worker import Crew
from rewindnet.experiments.scenario.registries import ScenarioError
from rewindnet.experiments.scenario.scenario import Request, Scenario
from rewindnet.simulator.simulation import Simulation, counted, foresee
from rewindnet.simulator.transports.base import Transport
from rewindnet.simulator.transports.network import Network
from rewindnet.topologies import Links, Purpose, Schedule
from rewindnet.topologies.rng import coins

DTYPES = {"float64": torch.float64, "float32": torch.float32}

#: Design [m, q] and targets [m].
Samples = tuple[Tensor, Tensor]

#: Retained samples that accuracy is measured on, at most: a fixed draw from all of them.
_RETAIN_SAMPLES = 10_000

#: Members, and non-members, that membership attacks look at, at most.
_SUSPECTS = 1_000


@dataclass(frozen=True)
class Evaluation:
    """The samples that models are measured on.

    Attributes:
        sets: those of accuracy: design [m, q] and targets [m] for test, retain and forget.
        triggered: those of a backdoor's success: test images with the trigger and what it stands for, without and with
            those that are of the target class anyway; nothing where there is no backdoor.
        suspects: those of membership attacks; None where there are none, or too few.
    """

    sets: Mapping[str, Samples]
    triggered: Mapping[str, Samples]
    suspects: Suspects | None


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
    shards = partition(
        scenario.partition.kind,
        dataset.y,
        dataset.client,
        scenario.partition.clients,
        coins(scenario.seed, Purpose.PARTITION),
        **scenario.partition.settings,
    )
    dataset, poisoned = planted(scenario, dataset, shards)
    features: Features = scenario.data.features.build(dataset, scenario.seed)
    graph = topologies.build(scenario.topology.kind, len(shards), scenario.seed, **scenario.topology.settings)
    weights = topologies.mix(scenario.topology.mixing.kind, graph, **scenario.topology.mixing.settings)
    model: Model = scenario.model.build(features.x.shape[1], dataset.classes)
    asked = _arrivals(scenario, dataset, shards, poisoned)
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
        evaluations=tuple(
            _evaluation(scenario, features, dataset, model, shards, asked[: at + 1]) for at in range(len(asked))
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
    return request.plainly if request.samples != "poisoned" or poisoned is None else {"indices": poisoned.tolist()}


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


def _arrivals(
    scenario: Scenario, dataset: Dataset, shards: list[NDArray[np.int64]], poisoned: NDArray[np.int64] | None
) -> list[Arrival]:
    """What is to be forgotten, request by request."""
    T, requests = scenario.learning.rounds, scenario.deletion.each
    asked = [Asked(request.client, samples_of(request, poisoned), request.round or T) for request in requests]
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
    arrived: Sequence[Arrival],
) -> Evaluation:
    """What is measured once the last of these requests is answered."""
    like = torch.empty(0, dtype=DTYPES[scenario.backend.dtype], device=device_of(scenario.backend.device))
    forgotten = np.concatenate([shards[node][gone] for node, gone in arrived[-1].forget.items()])
    retained = np.setdiff1d(np.concatenate(shards), forgotten)
    if len(retained) > _RETAIN_SAMPLES:
        retained = np.sort(coins(scenario.seed, Purpose.EVALUATION).choice(retained, _RETAIN_SAMPLES, replace=False))

    def ready(x: NDArray[np.float32], y: NDArray[np.int64]) -> Samples:
        return model.design(torch.from_numpy(x).to(like)), torch.from_numpy(model.targets(y)).to(like.device)

    forget = features.x[forgotten], dataset.y[forgotten]
    test, stamped = _tested(scenario, features, dataset, model)
    sets = {"test": ready(*test), "forget": ready(*forget)}
    if len(retained):
        sets["retain"] = ready(features.x[retained], dataset.y[retained])
    triggered = {name: ready(*of) for name, of in stamped.items()}
    # Triggers are told from clean images at once, so what the poisoned are compared with carries the trigger too.
    poisoned = all(request.samples == "poisoned" for request in scenario.deletion.each)
    unseen = stamped["without_target"] if poisoned else test
    chosen = None
    if scenario.measures.membership:
        if scenario.measures.negatives == "unseen-users":
            unseen = _unseen_users(scenario, features, dataset, shards)
        chosen = _suspects(scenario, forget, unseen, len(arrived))
    suspects = chosen and Suspects(*ready(*chosen[0]), *chosen[1:])
    return Evaluation(sets, triggered, suspects)


Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def _tested(scenario: Scenario, features: Features, dataset: Dataset, model: Model) -> tuple[Rows, Mapping[str, Rows]]:
    """Test samples, and those of a backdoor's success."""
    x, y = features.test_x, dataset.test_y
    if scenario.data.backdoor is None:
        return (x, y), {}
    half = len(y) // 2
    target = np.full(half, scenario.data.backdoor.target)
    others = model.targets(y[:half]) != model.targets(target)
    if not others.any():
        raise ScenarioError("every test sample is of the backdoor's target class, so its success cannot be measured")
    stamped = {"without_target": (x[half:][others], target[others]), "with_target": (x[half:], target)}
    return (x[:half], y[:half]), stamped


def _unseen_users(scenario: Scenario, features: Features, dataset: Dataset, shards: list[NDArray[np.int64]]) -> Rows:
    """The samples of natural clients that take no part."""
    rows = np.setdiff1d(np.arange(len(dataset.y)), np.concatenate(shards))
    if scenario.partition.kind != "natural" or not len(rows):
        raise ScenarioError(
            "measures.negatives unseen-users takes natural clients that take no part: use partition natural, with "
            "fewer clients than the data have, or measures.negatives=test"
        )
    return features.x[rows], dataset.y[rows]


def _suspects(
    scenario: Scenario, forget: Rows, unseen: Rows, request: int
) -> tuple[Rows, NDArray[np.bool_], NDArray[np.float64]] | None:
    """Members and non-members, who is which, and their weights; at most so many of each as attacks need."""
    generator = coins(scenario.seed, Purpose.EVALUATION, round=request)
    inside, outside = (_some(of, generator) for of in (forget, unseen))
    weights = class_weights(inside[1], outside[1])
    (x, y), (other_x, other_y) = (
        (of[0][weight > 0], of[1][weight > 0]) for of, weight in zip((inside, outside), weights, strict=True)
    )
    if min(len(y), len(other_y)) < 2:
        return None
    member = np.arange(len(y) + len(other_y)) < len(y)
    weight = np.concatenate([of[of > 0] for of in weights])
    return (np.concatenate([x, other_x]), np.concatenate([y, other_y])), member, weight


def _some(rows: Rows, generator: np.random.Generator) -> Rows:
    x, y = rows
    if len(y) <= _SUSPECTS:
        return rows
    chosen = np.sort(generator.choice(len(y), _SUSPECTS, replace=False))
    return x[chosen], y[chosen]
