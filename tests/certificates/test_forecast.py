"""The forecast of the noise left against dense linear algebra, and against runs with and without noise."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from learnings import network, release_of, small_learning
from networks import as_planned

from rewindnet import topologies
from rewindnet.certificates import CertificateError, Spectrum, excess_loss, noise_left
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.models.sigmoid import Sigmoid
from rewindnet.clients.training.curvature import initial_spectrum, second_moment
from rewindnet.clients.training.make_block import make_block
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess

ORDERS = ["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"]


def learning_on(mixing, order, **changes):
    N = mixing.nodes
    plain = {"samples": np.full(N, 20), "deleted": np.eye(N, dtype=np.int64)[0], "rounds": 12}
    return small_learning(mixing=mixing, order=order, **plain, **changes)


def one_round(order, W, H, eta, local_steps, nodes):
    """What a round does to noise at all nodes, stacked: [N·d, N·d]."""
    size = len(H)
    step = np.kron(np.eye(nodes), np.linalg.matrix_power(np.eye(size) - eta * H, local_steps))
    mix = np.kron(W, np.eye(size))
    if order == "consensus-plus-gradient":
        return mix + step - np.eye(nodes * size)
    return mix @ step if order == "adapt-then-combine" else step @ mix


@examples(60)
@given(
    st.integers(0, 2**31),
    st.integers(2, 6),
    st.sampled_from(ORDERS),
    st.integers(1, 3),
    st.integers(0, 6),
    st.integers(0, 2),
    st.sampled_from(["output", "rewind"]),
    st.sampled_from(["static", "link-failures"]),
)
def test_the_forecast_is_the_covariance_of_the_linear_recursion(
    seed, nodes, order, local_steps, rounds, settle, placement, kind
):
    generator, graph = np.random.default_rng(seed), network(seed, nodes).graph
    mixing = topologies.schedule(kind, graph, topologies.mix("metropolis-hastings", graph), seed)
    root = generator.standard_normal((4, 4))
    H = root @ root.T / 10
    learning = learning_on(mixing, order, local_steps=local_steps)
    sigma = generator.uniform(0, 2, nodes)
    release = release_of(sigma, checkpoint_round=3, descent_rounds=rounds, gossip_rounds=settle, placement=placement)
    covariance = np.kron(np.diag(sigma**2), np.eye(4))
    for t in range(release.noise_round, 3 + rounds + settle):
        W, descends = mixing.matrix(t).toarray(), t < 3 + rounds
        A = one_round(order, W, H, 0.5, local_steps, nodes) if descends else np.kron(W, np.eye(4))
        covariance = A @ covariance @ A.T
    own = [covariance[4 * i : 4 * i + 4, 4 * i : 4 * i + 4] for i in range(nodes)]
    spectrum = Spectrum(np.linalg.eigvalsh(H), np.ones(4))
    left = noise_left(learning, release, spectrum)
    np.testing.assert_allclose(left**2, [np.trace(block) / 4 for block in own], rtol=1e-9, atol=1e-15)
    excess = excess_loss(learning, release, spectrum)
    np.testing.assert_allclose(excess, [np.trace(H @ block) / 2 for block in own], rtol=1e-9, atol=1e-15)


def test_noise_on_the_average_alone_stays_as_it_is():
    release = release_of(np.full(4, 0.3), averaged=True)
    assert noise_left(small_learning(), release, Spectrum(np.ones(1), np.ones(1))).tolist() == pytest.approx([0.3] * 4)


@pytest.mark.parametrize("order", ORDERS)
def test_where_nothing_may_be_followed_one_by_one_the_forecast_is_estimated(order, monkeypatch):
    graph = topologies.build("erdos-renyi", 40, 3, p=0.1)
    mixing = topologies.Static(graph, topologies.mix("metropolis-hastings", graph))
    release = release_of(np.linspace(0.1, 2, 40), checkpoint_round=6, descent_rounds=6, placement="rewind")
    spectrum = Spectrum(np.array([0.1, 0.5]), np.array([3, 1]))
    exact = noise_left(learning_on(mixing, order), release, spectrum)
    monkeypatch.setattr("rewindnet.certificates.planning.forecast._MOST_PRODUCTS", 0)
    estimated = noise_left(learning_on(mixing, order), release, spectrum)
    # Five times the standard error of a mean of 512 squares, on the root.
    np.testing.assert_allclose(estimated, exact, rtol=5 * np.sqrt(2 / 512) / 2)
    assert not np.array_equal(estimated, exact)
    np.testing.assert_array_equal(noise_left(learning_on(mixing, order), release, spectrum), estimated)


@pytest.mark.parametrize(("most", "lowest"), [(32, -0.01), (16, 0.0)])
def test_a_thinned_spectrum_forecasts_the_same(most, lowest):
    eigenvalues = np.append(10 ** np.random.default_rng(0).uniform(-6, 0, 400), lowest)
    spectrum = Spectrum(eigenvalues, np.full(401, 2.0))
    few = spectrum.thinned(most)
    assert few.eigenvalues.size <= most
    assert few.directions.sum() == 802
    assert few.directions @ few.eigenvalues == pytest.approx(2 * eigenvalues.sum())
    for rounds in (1, 10, 1000):
        release = release_of(np.ones(4), descent_rounds=rounds, placement="rewind")
        for forecast in (noise_left, excess_loss):
            exact, thinned = (forecast(small_learning(), release, which) for which in (spectrum, few))
            np.testing.assert_allclose(thinned, exact, rtol=0.03)


@pytest.mark.parametrize(
    ("eigenvalues", "directions"), [([], []), ([1.0], [0]), ([np.nan], [1]), ([1.0, 2.0], [1]), ([[1.0]], [[1]])]
)
def test_what_is_no_spectrum_is_refused(eigenvalues, directions):
    with pytest.raises(CertificateError, match="a spectrum"):
        Spectrum(np.array(eigenvalues), np.array(directions))


def test_a_forecast_wants_the_noise_of_every_node():
    with pytest.raises(CertificateError, match="sigma must have one entry for each of 4 nodes"):
        noise_left(small_learning(), release_of(np.ones(3)), Spectrum(np.ones(1), np.ones(1)))


def test_the_curvature_of_logistic_regression_is_that_of_its_hessian():
    generator = np.random.default_rng(0)
    x, y = torch.from_numpy(generator.standard_normal((30, 4))), generator.integers(0, 3, 30)
    model, shards = Logistic(4, 3, l2=0.05), [np.arange(7), np.arange(7, 30)]
    block = make_block(model, x, y, shards, step_size=1.0)
    start = torch.zeros(2, model.parameters, dtype=torch.float64)
    # The objective's gradient is differenced: column k of every node's Hessian.
    columns = [
        (block.gradient(start + 1e-4 * unit) - block.gradient(start - 1e-4 * unit)) / 2e-4
        for unit in torch.eye(model.parameters, dtype=torch.float64)
    ]
    hessian = torch.stack(columns, dim=2).mean(dim=0).numpy()
    found = initial_spectrum(block)
    listed = np.sort(np.repeat(found.eigenvalues, found.directions.astype(int)))
    np.testing.assert_allclose(listed, np.linalg.eigvalsh(hessian), atol=1e-7)
    design = model.design(x).numpy()
    moments = [design[rows].T @ design[rows] / len(rows) for rows in shards]
    np.testing.assert_allclose(second_moment(block), np.mean(moments, axis=0), atol=1e-12)
    assert initial_spectrum(make_block(Sigmoid(4, 3), x, y, shards, step_size=1.0)) is None


@cache
def learned_digits(kind, step_size, order, local_steps, partition):
    """Twenty clients that learned the digits for 60 rounds, and kept where they were before the last 50 and 5."""
    topology = {"ring": {}, "random-regular": {"degree": 8}, "erdos-renyi": {"p": 0.3}}[kind]
    scenario = {
        "name": "forecast",
        "seed": 0,
        "data": {"source": "digits", "features": "unit-norm"},
        "partition": {"kind": partition, "clients": 20},
        "model": {"kind": "logistic"},
        "topology": {"kind": kind, **topology},
        "learning": {"rounds": 60, "step_size": step_size, "order": order, "local_steps": local_steps},
        "deletion": {"client": 0, "samples": "all"},
        "unlearning": [{"method": "do-nothing"}],
    }
    experiment = build_run(resolve(scenario, ()))
    clients = WorkerNetwork(experiment.worker(range(20)), InProcess(20))
    simulation = experiment.simulation(clients)
    learned, (learning,) = simulation.learn({10, 55})
    return simulation, learned, learning, clients.worker.blocks[-1]


def with_and_without(simulation, learned, release, index=0):
    """What a release leaves with its noise, and without: [N, d] each, from the same coins."""
    noised = simulation.execute(*as_planned(release), learned, index).released
    return noised, simulation.execute(*as_planned(replace(release, sigma=0 * release.sigma)), learned, index).released


RUNS = [
    ("ring", 1.0, "adapt-then-combine", 1, "iid"),
    ("ring", 3.9, "consensus-plus-gradient", 1, "iid"),
    ("random-regular", 3.9, "adapt-then-combine", 1, "pathological"),
    ("erdos-renyi", 1.0, "combine-then-adapt", 3, "iid"),
]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("rounds", [5, 50])
def test_a_run_is_left_with_the_noise_that_was_forecast(run, rounds):
    simulation, learned, learning, block = learned_digits(*run)
    sigma = np.sqrt(np.random.default_rng(1).uniform(0.2, 2, 20))
    for settings_ in ({"placement": "rewind"}, {"placement": "rewind", "gossip_rounds": 3}, {"gossip_rounds": rounds}):
        release = release_of(sigma, checkpoint_round=60 - rounds, descent_rounds=rounds, **settings_)
        noised, clean = with_and_without(simulation, learned, release)
        measured = (noised - clean).square().mean(dim=1).sqrt().cpu().numpy()
        ratio = noise_left(learning, release, initial_spectrum(block)) / measured
        assert np.all((ratio > 1 / 1.15) & (ratio < 1.15))


@pytest.mark.parametrize("rounds", [5, 50])
def test_the_loss_rises_by_what_was_forecast(rounds):
    simulation, learned, learning, block = learned_digits(*RUNS[0])
    release = release_of(np.full(20, 0.5), checkpoint_round=60 - rounds, descent_rounds=rounds, placement="rewind")
    risen = []
    for index in range(4):
        noised, clean = with_and_without(simulation, learned, release, index)
        # Noise and its opposite, so that the slope, where learning is not over, cancels as it does in expectation.
        around = [objective(block, theta).mean() for theta in (noised, clean, 2 * clean - noised)]
        risen.append(float(around[0] - 2 * around[1] + around[2]) / 2)
    forecast = float(excess_loss(learning, release, initial_spectrum(block)).mean())
    assert forecast / 1.25 < np.mean(risen) < forecast * 1.25


def objective(block, theta):
    """The mean of all clients' objectives, at the parameters of each client: [N]."""
    model = block.model
    total = model.l2 / 2 * theta.square().sum(dim=1)
    for bucket in block.buckets:
        for x, y, weight in zip(bucket.x, bucket.y, bucket.weight, strict=True):
            losses = model.losses(theta, x.expand(len(theta), -1, -1), y.expand(len(theta), -1))
            total += losses @ weight / len(block.nodes)
    return total


def test_noise_before_the_descent_is_forecast_to_cost_less_than_the_same_noise_settled_after_it():
    _, _, learning, block = learned_digits(*RUNS[0])
    spectrum = initial_spectrum(block)
    before = release_of(np.ones(20), checkpoint_round=10, descent_rounds=50, placement="rewind")
    after = replace(before, placement="output", gossip_rounds=50)
    for forecast in (noise_left, excess_loss):
        assert np.all(forecast(learning, before, spectrum) < forecast(learning, after, spectrum))
