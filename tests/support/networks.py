"""Small networks to hold the certificates against."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
import torch
from addresses import address_at
from hypothesis import strategies as st
from learnings import SETTINGS
from numpy.typing import NDArray
from torch import Tensor

from rewindnet import topologies
from rewindnet.certificates import Claim, Constant, Constants, Release, TrainingRun, forget_digest
from rewindnet.certificates.claim import Bound
from rewindnet.certificates.forget_sets import SALT_BYTES
from rewindnet.certificates.public_facts import PublicFacts
from rewindnet.clients.data.deletion import Arrival
from rewindnet.clients.methods import Method, UnlearningPlan
from rewindnet.clients.models import MODELS
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.envelope import Envelope
from rewindnet.clients.training.local_training import LocalTraining
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.optimizers import SGD, Optimizer
from rewindnet.clients.training.sampling import SAMPLINGS
from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.cost.network_model import build_network_model
from rewindnet.simulator.engine import execute
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.task import Task
from rewindnet.simulator.training_facts import TrainingSetup, training_facts
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess
from rewindnet.topologies import Schedule


class AsPlanned(Method):
    """Does what it is told to."""

    def checkpoints(self, rounds: int) -> Sequence[int]:
        raise NotImplementedError

    def horizon(self, rounds: int) -> int:
        raise NotImplementedError

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        raise NotImplementedError


def as_planned(release: Release) -> tuple[Method, UnlearningPlan]:
    """What carries out this very release."""
    return AsPlanned(), UnlearningPlan(release, Claim("node", 1e-5))


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
    sampling: str = "full"
    departure: str = "relay"
    radius: float | None = None
    others: tuple[int, ...] = ()
    early: float | None = None
    optimizer: Optimizer = SGD()  # noqa: RUF009
    step_factors: tuple[float, ...] = ()
    gradient_clip: float | None = None
    client_clip: float | None = None
    clip_tolerance: float = 1e-3
    public: bool = False

    @property
    def deleting(self) -> tuple[int, ...]:
        """Who deletes: the client, and others besides."""
        return tuple(sorted({self.client, *self.others}))

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The bounds there are: for a departure no worst case without a ball."""
        return ("instance", "worst-case") if self.departure == "relay" or self.radius else ("instance",)

    def rounds_of(self, graph: nx.Graph, left: tuple[int, ...] = ()) -> Schedule:
        """Who hears whom in which round; without those who have left, by the same rule."""
        weights = topologies.mix_without(self.mixing, graph, left)
        kind, _, how = self.schedule.partition(" ")
        if kind == "walk":
            return topologies.Walk(graph, weights, self.seed, rule=how, restart=0.1)  # type: ignore[arg-type]
        settings = {"activates": how} if how else {"probability": 0.4} if kind == "node-sleep" else {}
        return topologies.schedule(kind, graph, weights, self.seed, left, **settings)

    def forget(self, rng: np.random.Generator) -> dict[int, NDArray[np.int64]]:
        """The positions that each of them deletes."""
        gone = {}
        for node in self.deleting:
            n = self.sizes[node]
            m = {"one": 1, "half": max(1, n // 2), "all": n}["all" if self.departure == "leave" else self.deleted]
            gone[node] = np.sort(rng.choice(n, m, replace=False)).astype(np.int64)
        return gone

    def arrivals(self, forget: dict[int, NDArray[np.int64]]) -> list[tuple[int, dict[int, NDArray[np.int64]]]]:
        """When what is asked to be forgotten: all at the end, or the others' and part of the client's before."""
        if self.early is None:
            return [(self.rounds, forget)]
        first = {node: gone for node, gone in forget.items() if node != self.client}
        if len(forget[self.client]) > 1:
            first[self.client] = forget[self.client][:1]
        return [(max(1, round(self.early * self.rounds)), dict(sorted(first.items()))), (self.rounds, forget)]

    def rows(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All clients' samples together: features [n, 5] of norm at most 1, labels [n] of three classes."""
        total = sum(self.sizes)
        centres = self.spread * rng.standard_normal((self.nodes, 5))
        x = rng.standard_normal((total, 5)) + np.repeat(centres, self.sizes, axis=0)
        x /= np.linalg.norm(x, axis=1, keepdims=True) * (1 + 1e-6)
        return x, rng.integers(0, 3, total)

    def envelope(self, constants: Constants) -> Envelope | None:
        """What clients learn from where they clip."""
        clip, smoothness = self.client_clip, constants.L.value - constants.l2.value
        if clip is None:
            return None
        return Envelope(clip, self.clip_tolerance * clip, smoothness, constants.G.value, constants.radius.value)

    def public_client(self, full: ClientBlock) -> ClientBlock:
        """One client with public rows of its own, that are those of no other."""
        rng = np.random.default_rng(self.seed + 1)
        x, y = torch.from_numpy(rng.standard_normal((7, 5)) / 5).to(full.blank().dtype), rng.integers(0, 3, 7)
        how = replace(full.local_training, participating=lambda round: None)
        shards = [np.arange(7)]
        return make_block(
            full.model, x, y, shards, step_size=full.step_size, local_steps=full.local_steps, local_training=how
        )

    def simulation(self) -> Simulation:
        """Clients with data of their own kind each, so that the network never agrees by accident."""
        rng = np.random.default_rng(self.seed)
        x, y = self.rows(rng)
        ends = np.cumsum(self.sizes)
        shards = [np.arange(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]
        model = MODELS[self.model](5, 3, l2=self.l2, **SETTINGS.get(self.model, {}))
        constants = model.constants(Constant(1.0, "proven"))
        unit = self.step / (constants.L.value if constants.known else 1.0)
        graph = topologies.build(self.family, self.nodes, self.seed)
        left = self.deleting if self.departure == "leave" else ()
        mixing, before = self.rounds_of(graph, left), self.rounds_of(graph)
        settings = {"poisson": {"batch": 4}, "keyed": {"batches": 3}}.get(self.sampling, {})
        sampling = SAMPLINGS[self.sampling](self.seed, self.local_steps, **settings)
        sizes = tuple(factor * unit for factor in self.step_factors)
        full = make_block(
            model,
            torch.from_numpy(x).to(getattr(torch, self.dtype)),
            y,
            shards,
            step_size=unit,
            local_steps=self.local_steps,
            node_by_node=self.precision == "exact",
            local_training=LocalTraining(
                sampling,
                before.participating,
                self.radius,
                self.optimizer,
                sizes,
                self.gradient_clip,
                self.envelope(constants),
            ),
        )
        asked = self.arrivals(self.forget(rng))
        setup = TrainingSetup(
            model=model,
            dtype=np.dtype(self.dtype),
            mixing=before,
            order=self.order,  # type: ignore[arg-type]
            constants=constants,
            step_size=full.step_size,
            local_steps=self.local_steps,
            samples=full.samples,
            seed=self.seed,
            sampling=sampling,
            radius=self.radius,
            client_clip=self.client_clip,
            clip_tolerance=self.clip_tolerance,
            departed=left,
            remaining=mixing if left else None,
            optimizer=self.optimizer,
            step_sizes=sizes,
            gradient_clip=self.gradient_clip,
            public=PublicFacts(7, True, "the rows of nobody") if self.public else None,
        )
        if self.public:
            full = replace(full, public=self.public_client(full))
        requests = training_facts(setup, [Arrival(*each, bytes(SALT_BYTES)) for each in asked])
        worker = ClientWorker(full, *(forget for _, forget in asked), departed=left)
        network = WorkerNetwork(worker, InProcess(self.nodes, self.precision))  # type: ignore[arg-type]
        size = model.parameters * getattr(torch, self.dtype).itemsize
        links = build_network_model("uniform", graph, self.seed)
        addresses = tuple(replace(address_at(self.seed), forget=forget_digest(forget)) for _, forget in asked)
        return Simulation(network, requests, size, links, self.seed, addresses)


def learn_and_retrain(network: Network, extra: int = 0) -> tuple[Simulation, Trajectory, Trajectory, TrainingRun]:
    """Learning and retraining with every checkpoint kept, and what is known for the last request."""
    simulation = network.simulation()
    learned, learnings = simulation.learn(range(network.rounds + 1))
    keep = range(network.rounds + extra + 1)
    oracle = simulation.retrain(network.rounds + extra, keep, len(learnings) - 1)
    return simulation, learned, oracle, learnings[-1]


def further(simulation: Simulation, begin: str, rounds: CommunicationStep, start: int) -> Tensor:
    """θ [N, d] after these rounds on the retained data, from a state that the clients keep."""
    task = Task("further", len(simulation.requests), begin, (), (rounds,), start, frozenset())
    execute(simulation.network, task, simulation.training_run.mixing)
    return simulation.network.fetch().clone()


#: Schedules to draw from, with what they may be told.
SCHEDULES = (
    *("link-failures", "node-sleep", "matchings", "asynchronous edge", "asynchronous node"),
    *("walk uniform", "walk metropolis", "walk mixing"),
)


#: Five clients on a ring, to change as a test needs it.
SMALL = Network(
    family="ring",
    nodes=5,
    mixing="metropolis-hastings",
    order="adapt-then-combine",
    model="logistic",
    l2=0.1,
    step=0.8,
    local_steps=1,
    rounds=6,
    client=1,
    deleted="half",
    sizes=(12, 10, 9, 14, 7),
    dtype="float64",
    seed=3,
)


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
        "model": draw(st.sampled_from(list(SETTINGS))),
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
        "schedule": draw(st.sampled_from([*["static"] * 4, *SCHEDULES])),
        "sampling": draw(st.sampled_from(["full", "full", "poisson", "keyed"])),
        "departure": draw(st.sampled_from(["relay", "relay", "leave"])),
        "radius": draw(st.sampled_from([None, 0.5, 5.0])),
        "others": tuple(draw(st.lists(st.integers(0, nodes - 1), max_size=2))),
        "early": draw(st.sampled_from([None, None, 0.0, 0.3, 0.7])),
    }
    case |= fixed
    if str(case["schedule"]).startswith("walk"):
        case |= {"order": "adapt-then-combine", "departure": "relay"}
    if case["departure"] == "leave":
        case["early"] = None
    if case["departure"] == "leave" and len({case["client"], *case["others"]}) == nodes:  # type: ignore[misc]
        case["others"] = ()
    return Network(**case)  # type: ignore[arg-type]
