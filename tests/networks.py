"""Small networks to hold the certificates against."""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from learnings import SETTINGS
from numpy.typing import NDArray
from torch import Tensor

import topologies
from certificates import Constant, Learning
from clients.block import make_block
from clients.crew import Crew
from clients.models import MODELS
from clients.steps import Exchange
from simulator.engine import Task, execute
from simulator.local import Local
from simulator.simulation import Simulation, Trajectory, foresee
from simulator.wire import InProcess


@dataclass(frozen=True)
class Network:
    """What a drawn case is made of."""

    family: str
    nodes: int
    mixing: str
    order: str
    model: str
    l2: float
    step: float
    local_steps: int
    rounds: int
    client: int
    deleted: str
    sizes: tuple[int, ...]
    dtype: str
    seed: int
    precision: str = "fast"
    spread: float = 1.0
    schedule: str = "static"

    def rows(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All clients' samples together: features [n, 5] of norm at most 1, labels [n] of three classes."""
        total = sum(self.sizes)
        centres = self.spread * rng.standard_normal((self.nodes, 5))
        x = rng.standard_normal((total, 5)) + np.repeat(centres, self.sizes, axis=0)
        x /= np.linalg.norm(x, axis=1, keepdims=True) * (1 + 1e-6)
        return x, rng.integers(0, 3, total)

    def simulation(self) -> Simulation:
        """Clients with data of their own kind each, so that the network never agrees by accident."""
        rng = np.random.default_rng(self.seed)
        x, y = self.rows(rng)
        ends = np.cumsum(self.sizes)
        shards = [np.arange(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]
        model = MODELS[self.model](5, 3, l2=self.l2, **SETTINGS[self.model])
        constants = model.constants(Constant(1.0, "proven"))
        full = make_block(
            model,
            torch.from_numpy(x).to(getattr(torch, self.dtype)),
            y,
            shards,
            step_size=self.step / constants.L.value,
            local_steps=self.local_steps,
            node_by_node=self.precision == "exact",
        )
        n = self.sizes[self.client]
        m = {"one": 1, "half": max(1, n // 2), "all": n}[self.deleted]
        forget = {self.client: np.sort(rng.choice(n, m, replace=False)).astype(np.int64)}
        graph = topologies.build(self.family, self.nodes, self.seed)
        foreseen = foresee(
            model=model,
            dtype=getattr(torch, self.dtype),
            mixing=topologies.schedule(self.schedule, graph, topologies.mix(self.mixing, graph), self.seed),
            order=self.order,  # type: ignore[arg-type]
            constants=constants,
            rounds=self.rounds,
            step_size=full.step_size,
            local_steps=self.local_steps,
            samples=full.samples,
            forget=forget,
            seed=self.seed,
        )
        network = Local(Crew(full, forget), InProcess(self.nodes, self.precision))  # type: ignore[arg-type]
        size = model.parameters * getattr(torch, self.dtype).itemsize
        return Simulation(network, foreseen, size, topologies.connect("uniform", graph, self.seed), self.seed)


def learn_and_retrain(network: Network, extra: int = 0) -> tuple[Simulation, Trajectory, Trajectory, Learning]:
    """Learning and retraining with every checkpoint kept."""
    simulation = network.simulation()
    learned, learning = simulation.learn(range(network.rounds + 1))
    oracle = simulation.retrain(network.rounds + extra, range(network.rounds + extra + 1))
    return simulation, learned, oracle, learning


def further(simulation: Simulation, begin: str, rounds: Exchange, start: int) -> Tensor:
    """θ [N, d] after these rounds on the retained data, from a state that the clients keep."""
    task = Task("further", "retained", begin, (), (rounds,), start, frozenset())
    execute(simulation.network, task, simulation.foreseen.mixing)
    return simulation.network.fetch().clone()


@st.composite
def networks(draw: st.DrawFn, **fixed: object) -> Network:
    """Random graphs, partitions, orders, models (regimes), step sizes and deletions."""
    nodes = draw(st.integers(2, 9))
    families = ["path", "star", "complete", "ring", "erdos-renyi", "barabasi-albert"]
    family = draw(st.sampled_from(families if nodes > 3 else ["path", "complete"]))
    rules = ["metropolis-hastings", "max-degree", "lazy-metropolis-hastings"] + ["uniform"] * (family == "complete")
    case: dict[str, object] = {
        "family": family,
        "nodes": nodes,
        "mixing": draw(st.sampled_from(rules)),
        "order": draw(st.sampled_from(["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])),
        "model": draw(st.sampled_from(list(MODELS))),
        "l2": draw(st.sampled_from([0.0, 1e-4, 0.1, 1.0])),
        "step": draw(st.sampled_from([0.1, 0.5, 1.0, 1.9, 2.5])),
        "local_steps": draw(st.integers(1, 3)),
        "rounds": draw(st.integers(1, 12)),
        "client": draw(st.integers(0, nodes - 1)),
        "deleted": draw(st.sampled_from(["one", "half", "all"])),
        "sizes": tuple(draw(st.lists(st.integers(1, 30), min_size=nodes, max_size=nodes))),
        "dtype": draw(st.sampled_from(["float64", "float64", "float32"])),
        "seed": draw(st.integers(0, 2**31)),
        "precision": draw(st.sampled_from(["fast", "exact"])),
        "spread": draw(st.sampled_from([0.0, 1.0, 5.0])),
        "schedule": draw(st.sampled_from(["static", "static", "link-failures", "matchings"])),
    }
    return Network(**{**case, **fixed})  # type: ignore[arg-type]
