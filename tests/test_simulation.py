"""The simulator against plain numpy, and its two precisions against each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from networks import Network, as_planned, learn_and_retrain, networks
from numpy.typing import NDArray

from rewindnet import topologies
from rewindnet.certificates import Release
from rewindnet.clients.methods.r2d import R2D
from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess

Array = NDArray[np.float64]


def worker(simulation: Simulation) -> ClientWorker:
    assert isinstance(simulation.network, WorkerNetwork)
    return simulation.network.worker


def numpy_learning(case: Network, retained: bool) -> list[Array]:
    """The same network, a node at a time, in plain numpy: multinomial logistic regression."""
    simulation = case.simulation()
    block = worker(simulation).blocks[int(retained)]
    model = block.model
    known = simulation.foreseen
    mixing = known.mixing if retained or known.mixing_before is None else known.mixing_before
    sampling = block.local_training.sampling
    data: dict[int, tuple[Array, NDArray[np.int64], Array]] = {}
    for bucket in block.buckets:
        for k, row in enumerate(bucket.rows.tolist()):
            data[row] = (bucket.x[k].double().numpy(), bucket.y[k].numpy(), bucket.weight[k].double().numpy())

    def ball(theta: Array) -> Array:
        norm = np.linalg.norm(theta)
        return theta if case.radius is None or norm <= case.radius else theta * (case.radius / norm)

    def descend(t: int, i: int, theta: Array) -> Array:
        participating = mixing.participating(t)
        if participating is not None and not participating[i]:
            return theta
        x, y, weight = data[i]
        for step in range(case.local_steps):
            if sampling is not None:
                n = case.sizes[i]
                drawn = np.zeros(len(y))
                drawn[:n] = sampling.masks(t, i, n)[step]
                weight = drawn * (data[i][2] > 0) / sampling.size(n)
            matrix = theta.reshape(3, -1)
            scores = x @ matrix.T
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(len(y)), y] -= 1
            theta = theta - block.step_size * ((p * weight[:, None]).T @ x + model.l2 * matrix).ravel()
        return theta

    def together(t: int, theta: Array) -> Array:
        return np.stack([descend(t, i, theta[i]) for i in range(case.nodes)])

    theta = np.zeros((case.nodes, model.parameters))
    trajectory = [theta]
    for t in range(case.rounds):
        W = mixing.matrix(t).toarray()
        if case.order == "adapt-then-combine":
            theta = W @ np.stack([ball(row) for row in together(t, theta)])
        elif case.order == "combine-then-adapt":
            theta = np.stack([ball(row) for row in together(t, W @ theta)])
        else:
            theta = np.stack([ball(row) for row in W @ theta + together(t, theta) - theta])
        trajectory.append(theta)
    return trajectory


@given(case=networks(model="logistic", dtype="float64", early=None))
@settings(max_examples=40, deadline=None)
def test_learning_and_retraining_are_what_the_orders_say(case: Network) -> None:
    _, learned, oracle, _ = learn_and_retrain(case)
    for trajectory, retained in ((learned, False), (oracle, True)):
        for t, expected in enumerate(numpy_learning(case, retained)):
            np.testing.assert_allclose(trajectory.at(t).numpy(), expected, rtol=1e-9, atol=1e-11)


@given(case=networks())
@settings(max_examples=40, deadline=None)
def test_fast_agrees_with_exact(case: Network) -> None:
    tolerance = {"float64": 1e-11, "float32": 2e-4}[case.dtype]
    fast, exact = (learn_and_retrain(replace(case, precision=precision))[1] for precision in ("fast", "exact"))
    for t in fast.checkpoint_names:
        torch.testing.assert_close(fast.at(t), exact.at(t), rtol=tolerance, atol=tolerance)


@given(case=networks(precision="exact"))
@settings(max_examples=15, deadline=None)
def test_exact_repeats_to_the_bit(case: Network) -> None:
    one, other = (learn_and_retrain(case)[1] for _ in range(2))
    assert all(torch.equal(one.at(t), other.at(t)) for t in one.checkpoint_names)


@pytest.mark.parametrize("family", ["ring", "star", "complete", "erdos-renyi"])
@pytest.mark.parametrize("nodes", [4, 40])
def test_the_wire_is_a_product_with_the_mixing_matrix(family: str, nodes: int) -> None:
    W = topologies.mix("metropolis-hastings", topologies.build(family, nodes, 1))
    messages = torch.randn(nodes, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for precision in ("fast", "exact"):
        wire = InProcess(nodes, precision)  # type: ignore[arg-type]
        once = wire.mix(messages, W)
        np.testing.assert_allclose(once.numpy(), W @ messages.numpy(), rtol=1e-12, atol=1e-14)
        # The result may be sent on at once: it is not overwritten while it is read.
        np.testing.assert_allclose(wire.mix(once, W).numpy(), W @ (W @ messages.numpy()), rtol=1e-12, atol=1e-14)


CASE = Network(
    "ring",
    5,
    "metropolis-hastings",
    "adapt-then-combine",
    "logistic",
    1e-2,
    1.0,
    2,
    10,
    1,
    "half",
    (9,) * 5,
    "float64",
    3,
)


def test_placements_put_the_noise_where_they_say() -> None:
    simulation, learned, oracle, _ = learn_and_retrain(CASE)
    sigma = np.full(5, 0.3)
    for placement, site in (("output", 10), ("rewind", 6)):
        release = Release("r2d", 6, 4, placement, sigma)  # type: ignore[arg-type]
        outcome = simulation.execute(*as_planned(release), learned, 0)
        assert release.noise_round == site
        if placement == "rewind":
            assert torch.equal(outcome.centre, learned.at(6))
        quiet = simulation.execute(*as_planned(replace(release, sigma=0 * sigma)), learned, 0)
        moved = (outcome.released - quiet.released).norm(dim=1)
        assert torch.all(moved > 0)
    assert not torch.equal(oracle.at(10), learned.at(10))


def test_settling_and_averaging() -> None:
    simulation, learned, _, _ = learn_and_retrain(CASE)
    release = Release("r2d", 6, 4, "output", np.full(5, 0.3))
    noised = simulation.execute(*as_planned(release), learned, 0).released
    settled = simulation.execute(*as_planned(replace(release, gossip_rounds=3)), learned, 0).released
    W = torch.from_numpy(simulation.foreseen.mixing.matrix(0).toarray())
    torch.testing.assert_close(settled, W @ W @ W @ noised, rtol=1e-12, atol=1e-13)
    averaged = simulation.execute(*as_planned(replace(release, averaged=True)), learned, 0)
    assert torch.all((averaged.released - averaged.released[0]).abs() < 1e-15)
    spread = averaged.released[0] - averaged.centre.mean(dim=0)
    assert 0.05 < float(spread.norm()) / np.sqrt(len(spread)) < 1.0


def test_costs_are_those_of_the_rounds() -> None:
    simulation, learned, oracle, learning = learn_and_retrain(CASE)
    d, edges = worker(simulation).full.model.parameters, 10
    assert oracle.cost.rounds == 10
    assert oracle.cost.messages == 10 * edges
    assert oracle.cost.bytes == 10 * edges * d * 8
    assert oracle.cost.gradients == 10 * 2 * (45 - 4)
    assert learned.cost.gradients == 10 * 2 * 45
    plan = R2D(rewind=0.4, settle=2).plan(learning)
    cost = simulation.execute(*as_planned(plan.release), learned, 0).cost
    assert (cost.rounds, cost.gradients) == (6, 4 * 2 * (45 - 4))


def test_descents_are_shared_but_charged_to_each() -> None:
    simulation, learned, _, _ = learn_and_retrain(CASE)
    release = Release("r2d", 6, 4, "output", np.zeros(5))
    one, other = (simulation.execute(*as_planned(release), learned, index) for index in (0, 1))
    assert one.cost.gradients == other.cost.gradients > 0
    assert torch.equal(one.released, other.released)
