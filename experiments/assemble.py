"""From a scenario to a network ready to learn. Everything that can be wrong with a scenario is found here."""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import topologies
from certificates import Constant
from clients.block import Block, make_block
from clients.data import Dataset, load
from clients.deletion import DeletionError, forget_set
from clients.features import Features
from clients.methods import Method
from clients.models import Model
from clients.parallel import one_torch_thread
from clients.partitions import partition
from experiments.registries import ScenarioError, entry
from experiments.scenario import ClassOf, Indices, Scenario
from simulator.simulation import Simulation
from topologies import Purpose, Static, coins

#: Retained samples that accuracy is measured on, at most: a fixed draw from all of them.
_RETAIN_SAMPLES = 10_000


@dataclass(frozen=True)
class Evaluation:
    """The samples that accuracy is measured on: design [m, q] and targets [m] for test, retain and forget."""

    sets: Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Experiment:
    """A scenario made real."""

    scenario: Scenario
    graph: nx.Graph
    mixing: Static
    simulation: Simulation
    evaluation: Evaluation
    methods: tuple[Method, ...]

    @property
    def model(self) -> Model:
        """What every client learns."""
        return self.simulation.full.model


def assemble(scenario: Scenario) -> Experiment:
    """Build the network, its data, the deletion request and the methods.

    Raises:
        ValueError: a sentence about whatever makes no sense: data, partition, topology, model, deletion, method, step.
    """
    one_torch_thread()
    dataset = load(
        scenario.data.source, scenario.data.root, scenario.seed, scenario.data.limit, **scenario.data.settings
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
    mixing = Static(graph, topologies.mix(scenario.topology.mixing.kind, graph, **scenario.topology.mixing.settings))
    model: Model = scenario.model.build(features.x.shape[1], dataset.classes)
    forget = _forget(scenario, dataset, shards)
    block = _block(scenario, features, dataset, model, shards)
    simulation = Simulation(
        full=block,
        retained=block.without(forget),
        forget=forget,
        mixing=mixing,
        order=scenario.learning.order,
        wire=entry("transport", scenario.backend.kind)(scenario.backend.precision),
        constants=model.constants(Constant(features.radius, features.provenance)),
        rounds=scenario.learning.rounds,
        seed=scenario.seed,
    )
    methods: tuple[Method, ...] = tuple(method.build() for method in scenario.unlearning)
    foreseen = simulation.foreseen()
    for method in methods:
        method.check(foreseen)
    evaluation = _evaluation(scenario, features, dataset, model, shards, forget, block.blank())
    return Experiment(scenario, graph, mixing, simulation, evaluation, methods)


def _forget(scenario: Scenario, dataset: Dataset, shards: list[NDArray[np.int64]]) -> dict[int, NDArray[np.int64]]:
    client, samples = scenario.deletion.client, scenario.deletion.samples
    if client >= len(shards):
        raise DeletionError(f"deletion.client {client} does not exist; clients are 0 to {len(shards) - 1}")
    if isinstance(samples, ClassOf | Indices):
        samples = samples.model_dump(by_alias=True)  # type: ignore[assignment]
    return {client: forget_set(samples, dataset.y[shards[client]], client, scenario.seed)}  # type: ignore[arg-type]


def _block(
    scenario: Scenario, features: Features, dataset: Dataset, model: Model, shards: list[NDArray[np.int64]]
) -> Block:
    backend = scenario.backend
    dtype = {"float64": torch.float64, "float32": torch.float32}[backend.dtype]
    return make_block(
        model,
        torch.from_numpy(features.x).to(device=_device(backend.device), dtype=dtype),
        dataset.y,
        shards,
        step_size=scenario.learning.step_size,
        local_steps=scenario.learning.local_steps,
        node_by_node=backend.precision == "exact",
    )


def _device(wanted: str) -> torch.device:
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ScenarioError("backend.device is cuda, but torch finds no CUDA device here; use auto or cpu")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def _evaluation(
    scenario: Scenario,
    features: Features,
    dataset: Dataset,
    model: Model,
    shards: list[NDArray[np.int64]],
    forget: Mapping[int, NDArray[np.int64]],
    like: Tensor,
) -> Evaluation:
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
