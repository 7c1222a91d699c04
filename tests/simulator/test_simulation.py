"""The simulator against plain numpy, and its two precisions against each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from networks import Network, as_planned, learn_and_retrain, networks
from numpy.typing import NDArray
from numpy_learning import numpy_learning, worker

from rewindnet import topologies
from rewindnet.certificates import Release
from rewindnet.clients.methods.r2d import R2D
from rewindnet.simulator.transports.wire import InProcess

Array = NDArray[np.float64]


@given(case=networks(model="logistic", dtype="float64", early=None))
@examples(20)
def test_learning_and_retraining_are_what_the_orders_say(case: Network) -> None:
    _, learned, oracle, _ = learn_and_retrain(case)
    for trajectory, retained in ((learned, False), (oracle, True)):
        for t, expected in enumerate(numpy_learning(case, retained)):
            np.testing.assert_allclose(trajectory.at(t).numpy(), expected, rtol=1e-9, atol=1e-11)


@given(case=networks())
@examples(20)
def test_fast_agrees_with_exact(case: Network) -> None:
    tolerance = {"float64": 1e-11, "float32": 2e-4}[case.dtype]
    fast, exact = (learn_and_retrain(replace(case, precision=precision))[1] for precision in ("fast", "exact"))
    for t in fast.checkpoint_names:
        torch.testing.assert_close(fast.at(t), exact.at(t), rtol=tolerance, atol=tolerance)


@given(case=networks(precision="exact"))
@examples(15)
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
    W = torch.from_numpy(simulation.training_run.mixing.matrix(0).toarray())
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
    plan = R2D(rewind=0.4, gossip_rounds=2).plan(learning)
    cost = simulation.execute(*as_planned(plan.release), learned, 0).cost
    assert (cost.rounds, cost.gradients) == (6, 4 * 2 * (45 - 4))


def test_descents_are_shared_but_charged_to_each() -> None:
    simulation, learned, _, _ = learn_and_retrain(CASE)
    release = Release("r2d", 6, 4, "output", np.zeros(5))
    one, other = (simulation.execute(*as_planned(release), learned, index) for index in (0, 1))
    assert one.cost.gradients == other.cost.gradients > 0
    assert torch.equal(one.released, other.released)
