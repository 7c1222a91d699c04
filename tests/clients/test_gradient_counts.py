"""Gradients are counted where they are taken: against what learning is known to take, and by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from conformance import NODES
from drawn import examples
from hypothesis import given
from networks import SMALL, Network, learn_and_retrain, networks
from scipy.sparse import csr_array

from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.steps.learning import Descend, Gossip, InitialModel
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.curvature import PRODUCT, product, solve
from rewindnet.clients.training.gradient_counter import GradientCounter, RoundGradients
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.minibatch import Minibatch
from rewindnet.clients.training.probe import Probe
from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.cost.clock import Clock
from rewindnet.simulator.cost.meter import Cost, CostMeter
from rewindnet.simulator.cost.network_model import NetworkModel, build_network_model
from rewindnet.simulator.engine import execute
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.flower.client import make_app
from rewindnet.simulator.transports.flower.network import FlowerNetwork
from rewindnet.simulator.transports.flower.runtimes import in_process
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess
from rewindnet.topologies import Static, build, mix

CASE = Network(
    *("ring", 5, "metropolis-hastings", "adapt-then-combine", "logistic", 1e-2, 1.0, 2, 10, 1, "half"),
    *((9, 8, 7, 12, 0), "float64", 3),
)
SAMPLES = np.array([9, 8, 7, 12, 0])


@given(case=networks())
@examples(60)
def test_learning_and_retraining_take_what_is_known_of_them(case: Network) -> None:
    """Whatever the schedule, the batches, the requests and who has left: measured is what the records say."""
    simulation, learned, oracle, learning = learn_and_retrain(case)
    expected, start = 0, 0
    for met, request in enumerate(simulation.requests):
        known = simulation.requests[max(met - 1, 0)]
        for t in range(start, request.rounds):
            expected += int(known.gradients(t, retained=met > 0).sum())
        start = request.rounds
    assert learned.cost.gradients == expected
    assert oracle.cost.gradients == sum(int(learning.gradients(t, True).sum()) for t in range(learning.rounds))


def counting_block(clients: int | None = None) -> tuple[ClientBlock, GradientCounter]:
    block = worker_network(CASE.simulation()).worker.full
    counter = GradientCounter(len(block.nodes) if clients is None else clients)
    return replace(block, counter=counter), counter


def worker_network(simulation: Simulation) -> WorkerNetwork:
    assert isinstance(simulation.network, WorkerNetwork)
    return simulation.network


def test_a_full_gradient_counts_every_sample_once() -> None:
    block, counter = counting_block()
    block.gradient(torch.zeros(block.blank().shape, dtype=torch.float64))
    assert counter.drain()[0].tolist() == SAMPLES.tolist()
    assert counter.drain()[0].tolist() == [0] * 5


def test_clients_that_take_no_step_count_nothing() -> None:
    block, counter = counting_block()
    theta = torch.zeros_like(block.blank())
    block.gradient(theta, Minibatch(participating=np.array([True, False, True, False, True])))
    assert counter.drain()[0].tolist() == [9, 0, 7, 0, 0]
    weights = tuple((bucket.weight * (torch.arange(bucket.weight.shape[1]) < 3)) for bucket in block.buckets)
    block.gradient(theta, Minibatch(weights, np.array([True, False, True, True, True])))
    assert counter.drain()[0].tolist() == [3, 0, 3, 3, 0]


def test_a_minibatch_says_what_it_stands_for() -> None:
    block, counter = counting_block()
    block.gradient(torch.zeros_like(block.blank()), Minibatch(gradients=np.array([30, 1, 0, 2, 5])))
    assert counter.drain()[0].tolist() == [30, 1, 0, 2, 5]


def test_blocks_of_some_clients_count_at_the_same_place() -> None:
    block, counter = counting_block()
    part = block.only([3, 0], torch.float64)
    theta = torch.zeros_like(part.blank())
    part.gradient(theta)
    part.only([0], torch.float64).gradient(theta[1:])
    assert counter.drain()[0].tolist() == [18, 0, 0, 12, 0]
    part.counted_at([1]).gradient(theta)
    part.counted_at([0, 1]).counted_at([0]).only([3], torch.float64).gradient(theta[:1])
    assert counter.drain()[0].tolist() == [9, 0, 0, 12, 0]
    part.uncounted().gradient(theta)
    replace(block, before_erasure=block).uncounted().before_erasure.gradient(torch.zeros_like(block.blank()))
    assert counter.drain()[0].tolist() == [0] * 5


def test_products_count_as_gradients_and_solving_for_all_of_its_iterations() -> None:
    block, counter = counting_block()
    theta = torch.zeros_like(block.blank())
    product(block, theta, torch.ones_like(theta), "hessian")
    assert counter.drain()[0].tolist() == (PRODUCT * SAMPLES).tolist()
    alone = block.only([2], torch.float64)
    right = torch.ones_like(alone.blank())
    for iterations in (1, 500):
        solve(alone, torch.zeros_like(right), right, "hessian", iterations)
        assert counter.drain()[0].tolist() == [0, 0, PRODUCT * 7 * iterations, 0, 0]


# -- steps that a user may write, whose cost nobody declares ---------------------------------------------------------


@dataclass(frozen=True)
class Twice(CommunicationStep):
    """Three gradients in a round: one before the messages, two after them, and one more that only measures."""

    rounds: range

    def message(self, block, theta, round, probe):
        return theta - 0.1 * block.gradient(theta)

    def combine(self, block, theta, mixed, round, probe):
        block.uncounted().gradient(mixed)
        return mixed - 0.1 * block.gradient(mixed) - 0.1 * block.gradient(theta)


@dataclass(frozen=True)
class Short(CommunicationStep):
    """Rounds that send the first two numbers of a model and nothing else."""

    rounds: range

    def message(self, block, theta, round, probe):
        return theta[:, :2].contiguous()

    def combine(self, block, theta, mixed, round, probe):
        return torch.cat([mixed, theta[:, 2:]], dim=1)


@dataclass(frozen=True)
class Prepare(LocalStep):
    """A gradient by oneself."""

    def apply(self, block, theta):
        return theta - 0.1 * block.gradient(theta)


def run(steps: tuple[CommunicationStep, ...], prepare: tuple[LocalStep, ...] = ()) -> tuple[Cost, list[RoundGradients]]:
    """What these steps cost on a network whose second node is slow, and what was counted."""
    simulation = CASE.simulation()
    counted: list[RoundGradients] = []

    class Recording(CostMeter):
        def count(self, W, gradients):
            counted.append(gradients)
            super().count(W, gradients)

    slow = NetworkModel(0.02, 1e6, np.array([1.0, 7, 1, 1, 1]), 1e-3)
    meter, task = Recording(slow), Task("own", 0, None, (InitialModel(0), *prepare), steps, 0, frozenset())
    execute(simulation.network, task, simulation.training_run.mixing, meter=meter)
    return meter.total(), counted


@pytest.mark.parametrize("rounds", [1, 5, 16, 40])
def test_a_new_step_costs_what_it_takes(rounds: int) -> None:
    cost, counted = run((Twice(range(rounds)),))
    assert (cost.gradients, cost.rounds, cost.messages) == (3 * rounds * 36, rounds, rounds * 10)
    # The initial model comes first, and takes none.
    assert len(counted) == rounds + 1
    assert all(np.array_equal(each.before, SAMPLES) for each in counted[1:])
    assert all(np.array_equal(each.after, 2 * SAMPLES) for each in counted[1:])


def test_the_clock_knows_what_was_taken_before_a_message_and_after_it() -> None:
    cost, counted = run((Twice(range(3)),))
    clock, W = Clock(NetworkModel(0.02, 1e6, np.array([1.0, 7, 1, 1, 1]), 1e-3)), CASE.simulation().training_run.mixing
    for round, each in enumerate(counted[1:]):
        clock.advance(W.matrix(round), each.message_bytes, each.before, each.after)
    assert cost.simulated_seconds == clock.elapsed
    assert cost.simulated_seconds >= 3 * 3 * 8 * 7e-3


def test_what_clients_take_by_themselves_counts_and_takes_time() -> None:
    (without, _), (cost, counted) = run((Gossip(range(2)),)), run((Gossip(range(2)),), (Prepare(), Prepare()))
    assert (without.gradients, cost.gradients) == (0, 2 * 36)
    assert [each.total for each in counted] == [0, 36, 36, 0, 0]
    assert (cost.rounds, cost.messages, cost.bytes) == (without.rounds, without.messages, without.bytes)
    assert cost.simulated_seconds == pytest.approx(without.simulated_seconds + 2 * 8 * 7e-3)


def test_messages_are_as_large_as_they_are() -> None:
    """A message of two numbers of 8 bytes, and one of a model: bytes, and the time that they take."""
    d = worker_network(CASE.simulation()).worker.full.model.parameters
    (cost, counted), (whole, _) = run((Short(range(3)), Twice(range(2)))), run((Twice(range(2)),))
    assert [each.message_bytes for each in counted] == [0, *[16] * 3, *[8 * d] * 2]
    assert (cost.messages, cost.bytes) == (50, 30 * 16 + 20 * 8 * d)
    assert cost.simulated_seconds == pytest.approx(whole.simulated_seconds + 3 * (0.02 + 16 / 1e6))


@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])
def test_an_order_takes_its_gradients_before_or_after_the_messages(order: str) -> None:
    _, counted = run((Descend(order, range(4)),))  # type: ignore[arg-type]
    for each in counted[1:]:
        taken, none = (each.before, each.after) if order == "adapt-then-combine" else (each.after, each.before)
        assert np.array_equal(taken, 2 * SAMPLES)
        assert not none.any()


def test_a_probe_that_measures_changes_no_count() -> None:
    """Learning measures the disturbance of every request at every step, by gradients of its own."""
    simulation = CASE.simulation()
    learned, _ = simulation.learn([])
    assert isinstance(worker_network(simulation).worker._meter, Probe)
    assert learned.cost.gradients == 10 * 2 * 36


def test_gradients_of_inner_problems_are_counted_by_themselves() -> None:
    """To clip takes many evaluations a step; a gradient is still one for each sample and step, in whatever part."""
    counter = GradientCounter(3)
    counter.add(np.array([4, 6, 8]), np.array([0, 3, 4]))
    counter.of([2, 0]).add(np.array([5, 2]), np.array([4, 0]))
    counter.at([1]).add(np.array([7, 9, 9]), np.array([7, 8, 9]))
    assert [counts.tolist() for counts in counter.drain()] == [[6, 15, 13], [0, 11, 8]]
    assert [counts.tolist() for counts in counter.drain()] == [[0] * 3] * 2
    assert (RoundGradients(np.array([6, 15]), np.array([1, 0]), np.array([0, 11])).of_steps) == 11
    simulation = replace(SMALL, client_clip=0.02, local_steps=2).simulation()
    learned, (learning,) = simulation.learn([])
    assert learned.cost.gradients == SMALL.rounds * 2 * int(learning.samples.sum())
    assert learned.cost.evaluations > 2 * learned.cost.gradients
    assert learned.cost.gossip_rounds == 0


def test_a_meter_goes_on_from_a_state_of_an_earlier_version() -> None:
    meter = CostMeter(NetworkModel(0.3, 1e3, np.ones(3), 1e-2))
    meter.count(csr_array(np.full((3, 3), 1 / 3)), RoundGradients(np.array([1, 2, 3]), np.zeros(3, dtype=np.int64)))
    state = meter.state()
    meter.restore({**state, "counts": state["counts"][:4]})
    assert (meter.total().gradients, meter.total().evaluations, meter.total().rounds) == (6, 6, 1)


def test_a_meter_goes_on_from_its_state() -> None:
    rng, W = np.random.default_rng(0), csr_array(np.full((3, 3), 1 / 3))
    model = NetworkModel(0.3, 1e3, np.array([1.0, 2, 5]), 1e-2)
    whole, first, second = (CostMeter(model) for _ in range(3))
    for round in range(6):
        gradients = RoundGradients(*rng.integers(0, 9, (3, 3)), message_bytes=64 * (round + 1))
        whole.count(W, gradients)
        (first if round < 4 else second).count(W, gradients)
        if round == 3:
            second.restore({name: value.clone() for name, value in first.state().items()})
    assert second.total() == whole.total()
    assert first.total() != whole.total()


# -- other transports -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 20])
def test_over_flower_the_counts_come_with_the_answers(rounds: int) -> None:
    """Clients of 1, 2, … samples: the cost is that of one process, and a round is still a single trip."""
    model = build_network_model("heterogeneous", build("ring", NODES, 0), 0, stragglers=0.5)
    mixing, costs, trips = Static(build("ring", NODES, 0), mix("metropolis-hastings", build("ring", NODES, 0))), [], []
    steps = (Twice(range(rounds)), Short(range(rounds, rounds + 3)))
    task = Task("own", 0, None, (InitialModel(0), Prepare()), steps, 0, frozenset())

    def carry_out(network: FlowerNetwork | WorkerNetwork) -> None:
        for metered in (False, True):
            before = getattr(network, "_number", 0)
            meter = CostMeter(model) if metered else None
            execute(network, task, mixing, meter=meter)
            network.fetch()
            trips.append(getattr(network, "_number", 0) - before)
            costs.extend([] if meter is None else [meter.total()])

    carry_out(WorkerNetwork(samples_of_each(range(NODES)), InProcess(NODES, "exact")))
    one = cache(lambda node: samples_of_each([node]))
    app = make_app(lambda context: one(int(context.node_config["partition-id"])))
    in_process(lambda grid, _: carry_out(FlowerNetwork(grid, NODES)), app, NODES)
    in_one, over_flower = costs
    assert over_flower == in_one
    assert in_one.gradients == (1 + 3 * rounds) * sum(range(1, NODES + 1))
    # Uncounted, only what is fetched takes a trip more than there are rounds; counted, so do the last round's counts.
    assert trips[2:] == [rounds + 4, rounds + 5]


def samples_of_each(nodes: Sequence[int]) -> ClientWorker:
    """Clients with one sample more than their number."""
    rng = np.random.default_rng(0)
    sizes = [node + 1 for node in nodes]
    x, y = torch.from_numpy(rng.standard_normal((sum(sizes), 4))), np.zeros(sum(sizes), dtype=np.int64)
    shards = np.split(np.arange(len(y)), np.cumsum(sizes)[:-1])
    block = make_block(Logistic(4, 2), x, y, shards, step_size=0.1, nodes=tuple(nodes), node_by_node=True)
    return ClientWorker(block, {})
