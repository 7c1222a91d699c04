"""Newton corrections: held against closed forms, autograd, retraining, and the bounds that they claim."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import learnings
import networks
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import Network
from scipy import sparse
from scipy.optimize import brentq

from certificates import (
    Arithmetic,
    Certificate,
    CertificateError,
    Constant,
    Constants,
    audit,
    certify,
    covers,
    epsilon_of,
)
from certificates.mechanisms import Residual, SharedResidual
from certificates.mechanisms.residual import check_contraction, dominated, lowest_eigenvalue, retrained
from clients import step_records
from clients.block import make_block
from clients.methods import MethodError, Newton
from clients.models import HuberLogistic, Logistic, Model
from clients.newton_steps import Broadcast, Leftover, Sweeps
from clients.parallel import one_torch_thread
from clients.products import product, solve
from clients.steps import AddNoise, Descend
from simulator.observers import Cost
from simulator.simulation import Trajectory, divergence
from topologies.token import links, spreading

one_torch_thread()


class Ridge(Model):
    """Ridge regression on the class numbers: quadratic, so that one Newton step is exact."""

    def __init__(self, features: int, classes: int, *, l2: float = 0.1) -> None:
        self.l2, self.inputs, self.outputs = l2, features, 1

    @property
    def parameters(self) -> int:
        return self.inputs

    def initial(self, generator: np.random.Generator) -> np.ndarray:
        return generator.standard_normal(self.inputs)

    def losses(self, theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (torch.bmm(x, theta.unsqueeze(2)).squeeze(2) - y).square() / 2

    def scores(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (theta @ x.T).unsqueeze(2)

    def predict(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (theta @ x.T).round().long()

    def constants(self, radius: Constant) -> Constants:
        R = radius.value
        declared = {"G": 10.0, "L": R**2 + self.l2, "l2": self.l2, "strong_convexity": self.l2}
        return Constants("ridge", radius, **{name: Constant(value, "declared") for name, value in declared.items()})


@pytest.fixture
def ridge(monkeypatch):
    """The networks that are drawn may learn by ridge regression."""
    monkeypatch.setitem(networks.MODELS, "ridge", Ridge)
    monkeypatch.setitem(learnings.SETTINGS, "ridge", {})


def network(**changes):
    """A ring of six that learns by consensus-plus-gradient."""
    ring = Network(
        family="ring",
        nodes=6,
        mixing="metropolis-hastings",
        order="consensus-plus-gradient",
        model="logistic",
        l2=0.1,
        step=0.3,
        local_steps=1,
        rounds=200,
        client=2,
        deleted="half",
        sizes=(12, 9, 14, 20, 7, 11),
        dtype="float64",
        seed=5,
    )
    return replace(ring, **changes)


def corrected(simulation, learned, method, index=0):
    """What a method leaves before the noise, [N, d]."""
    return simulation.carry_out(method, method.plan(simulation.requests[-1]), learned, index).centre


def fixed_point(W, step, gradient, hessian, start):
    """X with (I − W)X + γ∇F(X) = 0, by Newton's method on dense matrices."""
    N, d = start.shape
    X, laplacian = start.copy(), np.kron(np.eye(N) - W, np.eye(d))
    for _ in range(50):
        residual = (X - W @ X + step * gradient(X)).ravel()
        J = laplacian.copy()
        for i, H in enumerate(hessian(X)):
            J[i * d : (i + 1) * d, i * d : (i + 1) * d] += step * H
        X = X - np.linalg.solve(J, residual).reshape(N, d)
        if np.abs(residual).max() < 1e-13:
            break
    return X


def hessians(block, theta):
    """Every client's Hessian by autograd, [d, d] each."""
    found = []
    for at, node in enumerate(block.nodes):
        (own,) = block.only([node], torch.float64).buckets

        def objective(point, own=own):
            losses = block.model.losses(point[None], own.x, own.y)
            return (own.weight * losses).sum() + block.model.l2 / 2 * point.square().sum()

        found.append(torch.autograd.functional.hessian(objective, theta[at]).numpy())
    return found


def ends(simulation, retained):
    """Where the network would end after endlessly many rounds, on all or on retained data: [N, d]."""
    crew = simulation.network.crew
    block, W = crew.blocks[-1] if retained else crew.full, simulation.foreseen.mixing.matrix(0).toarray()
    return torch.from_numpy(
        fixed_point(
            W,
            block.step_size,
            lambda X: block.gradient(torch.from_numpy(X)).numpy(),
            lambda X: hessians(block, torch.from_numpy(X)),
            np.zeros((len(W), block.model.parameters)),
        )
    )


def having_learned(simulation, theta):
    """As if learning had ended here."""
    simulation.network.store("here", theta)
    return Trajectory(simulation.network, {simulation.foreseen.rounds: "here"}, Cost())


# -- products with the curvature -------------------------------------------------------------------------------------


def client_block(model, seed=0, samples=9, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal((2 * samples, 4)) / 2).to(dtype)
    block = make_block(
        model, x, rng.integers(0, 3, 2 * samples), np.split(np.arange(2 * samples), [samples]), step_size=0.1
    )
    theta, vectors = (torch.from_numpy(rng.standard_normal((2, model.parameters))).to(dtype) for _ in range(2))
    return block.without({1: np.array([0, 3])}), theta, vectors


MODELS = [Logistic(4, 3, l2=0.05), HuberLogistic(4, 3, l2=0.05, clip=0.5), Ridge(4, 3, l2=0.2)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_products_are_those_of_the_matrices_that_autograd_gives(model):
    block, theta, vectors = client_block(model)
    for at, H in enumerate(hessians(block, theta)):
        expected = H @ vectors[at].numpy()
        np.testing.assert_allclose(product(block, theta, vectors, "hessian")[at].numpy(), expected, atol=1e-12)
    # Each sample's own gradient, by the model's closed form.
    for at, node in enumerate(block.nodes):
        (own,) = block.only([node], torch.float64).buckets
        F = np.zeros((model.parameters, model.parameters))
        for k in range(own.x.shape[1]):
            alone = model.gradient(
                theta[at : at + 1], own.x[:, k : k + 1], own.y[:, k : k + 1], torch.ones(1, 1).double()
            )
            g = (alone[0] - model.l2 * theta[at]).numpy()
            F += float(own.weight[0, k]) * np.outer(g, g)
        v = vectors[at].numpy()
        expected = {"fisher": F @ v, "diagonal": np.diag(F) * v}
        for name, C in expected.items():
            found = product(block, theta, vectors, name)[at].numpy()
            np.testing.assert_allclose(found, C + model.l2 * v, atol=1e-12)


@pytest.mark.parametrize("curvature", ["hessian", "fisher", "diagonal"])
def test_conjugate_gradients_solve_for_one_client(curvature):
    block, theta, vectors = client_block(Logistic(4, 3, l2=0.05))
    alone = block.only([1], torch.float64)
    found = solve(alone, theta[1:], vectors[1:], curvature, 200)
    np.testing.assert_allclose(product(alone, theta[1:], found, curvature).numpy(), vectors[1:].numpy(), atol=1e-12)


# -- where the corrections arrive ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "deleted"), [("ring", "one"), ("star", "half"), ("erdos-renyi", "all")])
def test_on_a_quadratic_the_network_arrives_where_retraining_ends(ridge, family, deleted):
    simulation = network(model="ridge", family=family, deleted=deleted, rounds=3).simulation()
    learned, _ = simulation.learn([3])
    found = corrected(simulation, learned, Newton(tolerance=1e-13))
    assert divergence(found, ends(simulation, retained=True)).max() < 1e-9
    assert divergence(found, learned.at(3)).max() > 1e-2


def test_on_a_quadratic_long_retraining_agrees(ridge):
    simulation = network(model="ridge", l2=1.0, rounds=200).simulation()
    learned, _ = simulation.learn([200])
    oracle = simulation.retrain(200, [200])
    assert divergence(corrected(simulation, learned, Newton(tolerance=1e-13)), oracle.at(200)).max() < 1e-9


@pytest.mark.parametrize("curvature", ["hessian", "fisher", "diagonal"])
def test_sweeps_solve_the_system_of_the_whole_network(curvature):
    simulation = network().simulation()
    learned, _ = simulation.learn([200])
    X, block = learned.at(200), simulation.network.crew.blocks[-1]
    N, d = X.shape
    W, eye = simulation.foreseen.mixing.matrix(0).toarray(), torch.eye(d).double()
    columns = [product(block, X, eye[k].repeat(N, 1), curvature).numpy() for k in range(d)]
    J = np.kron(np.eye(N) - W, np.eye(d))
    for i in range(N):
        J[i * d : (i + 1) * d, i * d : (i + 1) * d] += block.step_size * np.stack([C[i] for C in columns], axis=1)
    rest = (X.numpy() - W @ X.numpy() + block.step_size * block.gradient(X).numpy()).ravel()
    expected = X.numpy() - np.linalg.solve(J, rest).reshape(N, d)
    low, high = Newton(curvature=curvature).plan(simulation.foreseen).release.mechanism.spectrum
    spectrum = np.linalg.eigvalsh(J)
    assert low <= spectrum[0] * (1 + 1e-9) < spectrum[-1] <= high
    for tolerance in (1e-3, 1e-12):
        found = corrected(simulation, learned, Newton(curvature=curvature, tolerance=tolerance)).numpy()
        left = np.linalg.norm(J @ (found - X.numpy()).ravel() + rest)
        assert left <= tolerance * np.linalg.norm(rest)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("deleted", ["half", "all"])
def test_a_broadcast_is_the_formula_of_the_paper(deleted):
    simulation = network(deleted=deleted).simulation()
    learned, _ = simulation.learn([200])
    X, crew = learned.at(200), simulation.network.crew
    full, retained, u, N = crew.full, crew.blocks[-1], 2, 6
    found = corrected(simulation, learned, Newton(reach="uniform", tolerance=1e-13)) - X
    n, m = 14, {"half": 7, "all": 14}[deleted]
    gradient = full.gradient(X)[u].numpy()
    if deleted == "half":
        # The mean gradient of the forgotten samples, from the two means.
        forgotten = (n * gradient - (n - m) * retained.gradient(X)[u].numpy()) / m
        expected = m / (N * (n - m)) * np.linalg.solve(hessians(retained, X)[u], forgotten - gradient)
    else:
        expected = np.linalg.solve(hessians(full, X)[u], gradient - 0.1 * X[u].numpy()) / (N - 1)
    np.testing.assert_allclose(found.numpy(), np.tile(expected, (N, 1)), atol=1e-11)


def alike(step, rows, monkeypatch):
    """A complete network of ridge regressions, all clients with the same features, each twice, and labels of their own.

    Client 2 deletes the second copy of everything, so that all curvatures are the same before and after.
    """
    n, nodes = 2 * rows, 5

    def shared(self, rng):
        x = np.random.default_rng(1).standard_normal((rows, 5))
        x /= np.linalg.norm(x, axis=1, keepdims=True) * 1.01
        return np.tile(x, (2 * nodes, 1)), np.random.default_rng(2).integers(0, 3, nodes * n)

    monkeypatch.setattr(Network, "rows", shared)
    monkeypatch.setattr(Network, "forget", lambda self, rng: {2: np.arange(rows, n)})
    complete = {"family": "complete", "mixing": "uniform", "nodes": nodes, "sizes": (n,) * nodes, "rounds": 2}
    return network(model="ridge", l2=0.5, step=step, **complete).simulation()


def test_where_everybody_hears_everybody_a_broadcast_nears_the_network_as_steps_shrink(ridge, monkeypatch):
    gaps = []
    for step in (0.1, 0.05, 0.025):
        simulation = alike(step, 6, monkeypatch)
        here = having_learned(simulation, ends(simulation, retained=False))
        one, all_of_them = (
            corrected(simulation, here, Newton(reach=reach, tolerance=1e-12), index)
            for index, reach in enumerate(("uniform", "network"))
        )
        gaps.append(divergence(one, all_of_them).max())
        moved = divergence(all_of_them, here.at(2)).max()
    assert gaps[-1] < 0.05 * moved
    for wide, narrow in pairwise(gaps):
        assert 1.8 < wide / narrow < 2.2


def test_halving_the_weight_of_what_is_deleted_quarters_the_error_of_the_network(monkeypatch):
    errors = []
    for copies in (31, 63):
        # Four samples go, of 4·(copies + 1): the rest is copies of the same four.
        sizes = (10, 10, 4 * (copies + 1), 10, 10, 10)

        def rows(self, rng, copies=copies):
            rng = np.random.default_rng(3)
            x, y = rng.standard_normal((58, 5)), rng.integers(0, 3, 58)
            x /= np.linalg.norm(x, axis=1, keepdims=True) * 1.01
            own = np.concatenate([np.arange(4), np.tile(np.arange(4, 8), copies)])
            order = np.concatenate([np.arange(8, 28), own, np.arange(28, 58)])
            return x[order], y[order]

        monkeypatch.setattr(Network, "rows", rows)
        monkeypatch.setattr(Network, "forget", lambda self, rng: {2: np.arange(4)})
        simulation = network(sizes=sizes, rounds=1).simulation()
        here = having_learned(simulation, ends(simulation, retained=False))
        found = corrected(simulation, here, Newton(tolerance=1e-12))
        errors.append(float((found - ends(simulation, retained=True)).norm()))
    ratios = [one / other for one, other in pairwise(errors)]
    assert ratios[-1] == pytest.approx(4, rel=0.05), ratios


# -- how far off they may be -----------------------------------------------------------------------------------------


@cache
def ring_of_32():
    """Learned and retrained until neither moves any more."""
    return learned_and_retrained(network(nodes=32, sizes=(20,) * 32, client=3, rounds=250, spread=2.0, seed=1))


def learned_and_retrained(case):
    """The network after learning and after retraining, and what is known of it."""
    simulation, T = case.simulation(), case.rounds
    learned, (learning,) = simulation.learn([T])
    return simulation, learned, simulation.retrain(T, [T]), learning


def held(simulation, learned, oracle, learning, method, index=0):
    """The outcome of a method, its certificate and its divergence."""
    outcome = simulation.carry_out(method, method.plan(learning), learned, index)
    release = outcome.plan.release
    certificate = certify(learning, release, outcome.plan.claim)
    return outcome, certificate, divergence(outcome.centre, simulation.counterpart(release, oracle))


def test_on_a_large_ring_the_network_is_within_its_bound_where_a_broadcast_is_far_outside_of_its_own():
    simulation, learned, oracle, learning = ring_of_32()
    block, mu = simulation.network.crew.blocks[-1], learning.constants.strong_convexity.value

    def of_the_average(theta):
        """‖∇F'(x̃)‖/μ for the average objective: how far from its optimum a consensus would be."""
        return float(block.gradient(theta.mean(dim=0).repeat(32, 1)).mean(dim=0).norm()) / mu

    found = {}
    for index, reach in enumerate(("network", "uniform")):
        outcome, certificate, apart = held(simulation, learned, oracle, learning, Newton(reach=reach), index)
        assert np.all(apart <= certificate.sensitivity)
        assert float(np.linalg.norm(apart)) <= certificate.mu * certificate.sigma[0]
        found[reach] = apart, max(certificate.sensitivity), of_the_average(outcome.centre)
    left_alone = divergence(learned.at(250), oracle.at(250))
    assert found["network"][0].max() < 0.01 * left_alone.max()
    # What one broadcast repairs at the target it breaks elsewhere, and its own bound does not see either.
    assert found["uniform"][0].max() > 0.5 * left_alone.max()
    assert found["uniform"][0].max() > 3 * found["uniform"][2]
    assert found["network"][1] < 0.01 * found["uniform"][1]


@st.composite
def cases(draw):
    fixed = {
        "order": "consensus-plus-gradient",
        "model": draw(st.sampled_from(["logistic", "huber-logistic"])),
        "l2": draw(st.sampled_from([0.02, 0.1, 1.0])),
        "step": draw(st.sampled_from([0.1, 0.3, 0.6, 1.0])),
        "local_steps": 1,
        "rounds": draw(st.sampled_from([1, 10, 60, 200])),
        "schedule": "static",
        "sampling": "full",
        "departure": "relay",
        "radius": None,
        "early": None,
    }
    drawn = draw(networks.networks(**fixed))
    method = {
        "reach": draw(st.sampled_from(["network", "network", "uniform"])),
        "curvature": draw(st.sampled_from(["hessian", "hessian", "fisher", "diagonal"])),
        "iterations": draw(st.sampled_from([None, 1, 5])),
        "view": draw(st.sampled_from(["joint", "node", "node:0", "average"])),
        "clean": draw(st.sampled_from([0, 1, 3])),
    }
    return drawn, method


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(cases())
def test_no_node_is_further_off_than_its_sensitivity(case):
    stays_within(case)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(cases())
def test_no_node_is_further_off_than_its_sensitivity_in_many_cases(case):
    stays_within(case)


def stays_within(case):
    """Every node, all of them together, and what an audit makes of it."""
    drawn, given_settings = case
    assume(given_settings["reach"] == "network" or len(drawn.deleting) == 1)
    simulation = drawn.simulation()
    method = Newton(**given_settings)
    W, constants = simulation.foreseen.mixing.matrix(0), simulation.foreseen.constants
    assume(float(np.linalg.eigvalsh(W.toarray())[0]) - simulation.foreseen.step_size * constants.L.value > -0.999)
    method.check(simulation.foreseen)
    simulation, learned, oracle, learning = learned_and_retrained(drawn)
    _, certificate, apart = held(simulation, learned, oracle, learning, method)
    assert np.all(apart <= certificate.sensitivity)
    assert certificate.epsilon == pytest.approx(1.0, rel=1e-6)
    found = audit(certificate, learning.mixing, apart)
    assert found.holds
    assert found.exact_epsilon <= certificate.epsilon


def test_the_bound_is_no_idle_one():
    """Where retraining has come to its end, the sensitivity is within a factor of what is measured."""
    simulation, learned, oracle, learning = ring_of_32()
    _, certificate, apart = held(simulation, learned, oracle, learning, Newton(), 7)
    assert certificate.sensitivity[3] < 3 * apart[3]
    _, short, _ = held(simulation, learned, oracle, learning, Newton(iterations=1), 8)
    assert max(short.sensitivity) > max(certificate.sensitivity)


def small(**changes):
    changed = {"order": "consensus-plus-gradient", "step_size": 0.4, "rounds": 30} | changes
    return learnings.small_learning(**changed)


def measured(learning, method, residual=0.01, moved=0.7):
    """A plan as it is after the nodes have measured this."""
    plan, N = method.plan(learning), learning.mixing.nodes
    mechanism = plan.release.mechanism
    end = learning.rounds + mechanism.rounds + 1
    numbers = np.zeros(end)
    numbers[-2:] = moved, residual
    return method.refine(plan, learning, dict.fromkeys(range(N), numbers))


def test_what_is_dominated_is_above_the_solution_and_barely():
    rng = np.random.default_rng(0)
    for nodes in (1, 2, 40):
        W = learnings.network(3, nodes).matrix(0) if nodes > 1 else sparse.csr_array(np.ones((1, 1)))
        for pull in (1e-6, 0.01, 3.0):
            right = rng.uniform(0, 1, nodes) * (rng.uniform(size=nodes) < 0.5)
            exact = np.linalg.solve((1 + pull) * np.eye(nodes) - W.toarray(), right)
            found = dominated(W, pull, right)
            assert np.all(found >= exact * (1 - 1e-9))
            assert np.all(found <= exact + 1e-6 * (exact.max() + 1e-300))
            assert np.linalg.norm(found) <= np.linalg.norm(right) / pull * (1 + 1e-6)


def test_the_lowest_eigenvalue_is_bounded_from_below():
    for seed in range(20):
        W = learnings.network(seed, 12).matrix(0)
        true = float(np.linalg.eigvalsh(W.toarray())[0])
        assert true - 1e-8 < lowest_eigenvalue(W) <= true
    large = learnings.network(0, 600).matrix(0)
    assert lowest_eigenvalue(large) <= float(np.linalg.eigvalsh(large.toarray())[0])


def test_the_sensitivity_of_a_plain_case_by_hand():
    """Four nodes on a path, every one of residual 0.01: an even residual is dominated evenly."""
    learning = small(constants=replace(small().constants, strong_convexity=Constant(0.2, "declared")))
    plan = measured(learning, Newton(sigma=1.0), residual=0.01, moved=0.7)
    found = plan.release.mechanism.bounds(learning, plan.release, plan.claim)
    near = 0.01 / (0.4 * 0.2)
    W, L = learning.mixing.matrix(0).toarray(), learning.constants.L.value
    kept = np.maximum(np.abs(np.diag(W) - 0.08), np.abs(0.4 * L - np.diag(W)))
    e = np.full(4, 0.7 + near)
    for _ in range(30):
        e = W @ e + (kept - np.diag(W)) * e
    c = max(1 - 0.08, abs(float(np.linalg.eigvalsh(W)[0]) - 0.4 * L))
    stacked = c**30 * 2 * (0.7 + near)
    np.testing.assert_allclose(found.nodes, near + np.minimum(e, stacked), rtol=1e-5)
    assert found.together == pytest.approx(2 * near + min(np.linalg.norm(e), stacked), rel=1e-5)
    assert not found.rounding.any()


def test_the_start_is_no_further_than_the_constants_say():
    known = small(arithmetic=Arithmetic(2.0**-53, 6, 3, 0.5))
    G, l2 = known.constants.G.value, 0.01
    for moved, start in ((0.1, None), (1e6, (G + l2 * 0.5) / l2)):
        plan = measured(known, Newton(sigma=1.0), residual=1e-9, moved=moved)
        found = plan.release.mechanism.bounds(known, plan.release, plan.claim)
        far, _ = retrained(known, np.full(4, moved + 1e-9 / (0.4 * l2) if start is None else start))
        np.testing.assert_allclose(found.nodes, far.nodes, rtol=1e-4)


def test_rounding_is_charged_by_the_arithmetic():
    totals = []
    for u in (2.0**-53, 2.0**-24):
        known = small(arithmetic=Arithmetic(u, 6, 3, 0.0))
        plan = measured(known, Newton(sigma=1.0), residual=0.0, moved=0.5)
        found = plan.release.mechanism.bounds(known, plan.release, plan.claim)
        assert np.all(found.rounding > 0)
        totals.append(found.rounding.max())
    assert 1e6 < totals[1] / totals[0] < 2.0**29


# -- what is claimed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["joint", "node", "node:1", "average"])
@pytest.mark.parametrize("clean", [0, 2])
def test_an_epsilon_decides_the_noise_once_the_residual_is_known(view, clean):
    learning = small()
    plan = measured(learning, Newton(epsilon=0.7, view=view, clean=clean))
    certificate = certify(learning, plan.release, plan.claim)
    assert certificate.epsilon == pytest.approx(0.7)
    assert certificate.epsilon <= 0.7
    assert (certificate.restored, certificate.descended, certificate.rewound) == (30, clean, 0)
    assert Certificate.from_record(certificate.to_record()) == certificate
    again = certify(learning, certificate.release, certificate.claim)
    assert again == certificate
    # One more node seen, one more difference to hide: the views grow with what they show.
    joint = measured(learning, Newton(epsilon=0.7, clean=clean))
    assert plan.release.sigma[0] <= joint.release.sigma[0] * (1 + 1e-9)


def test_a_sigma_decides_the_epsilon():
    learning = small()
    plan = measured(learning, Newton(sigma=5.0))
    certificate = certify(learning, plan.release, plan.claim)
    bounds = plan.release.mechanism.bounds(learning, plan.release, plan.claim)
    together = min(float(np.linalg.norm(bounds.nodes)), bounds.together)
    assert certificate.mu == pytest.approx(together / 5)
    assert certificate.epsilon == pytest.approx(epsilon_of(together / 5, 1e-5))


def test_a_client_that_keeps_nothing_pulls_by_its_regulariser_alone():
    """Declared curvature goes with the data: what is left of a residual there may be as far off as l2 allows."""
    emptied = small(deleted=np.array([20, 0, 0, 0]))
    declared = replace(emptied, constants=replace(emptied.constants, strong_convexity=Constant(0.2, "declared")))
    one, other = (
        certify(learning, plan.release, plan.claim)
        for learning in (emptied, declared)
        for plan in [measured(learning, Newton(sigma=5.0))]
    )
    assert one.sensitivity == pytest.approx(other.sensitivity)
    flat = replace(declared.constants, l2=Constant(0.0, "proven"))
    with pytest.raises(CertificateError, match="retains nothing is flat"):
        Newton(sigma=5.0).plan(replace(declared, constants=flat))


def test_the_claimed_noise_is_the_textbooks_for_the_claimed_bound():
    learning = small(constants=replace(small().constants, strong_convexity=Constant(0.2, "declared")))
    plan = measured(learning, Newton(epsilon=0.5, noise="claimed"))
    length = 2 * 5 * learning.constants.G.value / (4 * 20 * 0.2)
    bound = length**2 / 0.4
    assert plan.release.sigma == pytest.approx(np.full(4, bound * np.sqrt(2 * np.log(1.25e5)) / 0.5))
    assert plan.claim.claimed_epsilon == pytest.approx(0.5)
    sound = certify(learning, plan.release, plan.claim).epsilon
    # 50 times the residual: the same noise hides less, and the claim stays what it was.
    worse = measured(learning, Newton(epsilon=0.5, noise="claimed"), residual=0.5)
    assert worse.claim.claimed_epsilon == pytest.approx(0.5)
    assert certify(learning, worse.release, worse.claim).epsilon > sound
    whole = replace(learning, deleted=np.array([20, 0, 0, 0]))
    length = learning.constants.G.value / (3 * 0.2)
    sigma = length**2 / 0.4 * np.sqrt(2 * np.log(1.25e5)) / 0.5
    assert measured(whole, Newton(epsilon=0.5, noise="claimed")).release.sigma == pytest.approx(np.full(4, sigma))


@pytest.mark.parametrize("view", ["transcript", "transcript:1", "transcript:all"])
def test_messages_are_never_covered(view):
    learning = small()
    with pytest.raises(CertificateError, match=r"no noise reaches epsilon 1 .* carry no noise and are not covered"):
        Newton(view=view).check(learning)
    plan = measured(learning, Newton(sigma=9.0, view=view))
    certificate = certify(learning, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.mu) == (None, None)
    assert "carry no noise" in certificate.reason
    assert audit(certificate, learning.mixing, np.full(4, 1e-9)).exact_epsilon is None


def test_several_releases_together_cover_no_messages_either():
    learning = small()
    for view, models in (("joint", True), ("node", True), ("node:1", False)):
        plan = measured(learning, Newton(view=view))
        certificate = certify(learning, plan.release, plan.claim)
        assert covers(certificate, "node:1")
        assert covers(certificate, "joint") == covers(certificate, "average") == (view == "joint")
        assert covers(certificate, "node:2") == models
        assert not any(covers(certificate, other) for other in ("transcript", "transcript:1", "transcript:all"))


def test_one_vector_for_all_hides_a_single_model_and_nothing_more():
    learning = small()
    alone = measured(learning, Newton(shared_noise=True, view="node:1", clean=0))
    certificate = certify(learning, alone.release, alone.claim)
    assert certificate.epsilon == pytest.approx(1.0)
    assert certificate.mu == pytest.approx(certificate.sensitivity[1] / certificate.sigma[1])
    for given_settings in ({"view": "node"}, {"view": "joint", "clean": 0}, {"view": "average", "clean": 0}):
        method = Newton(shared_noise=True, sigma=9.0, **given_settings)
        plan = measured(learning, method)
        certificate = certify(learning, plan.release, plan.claim)
        assert certificate.epsilon is None
        assert "all nodes carry one and the same noise vector" in certificate.reason
        assert audit(certificate, learning.mixing, np.full(4, 1e-9)).exact_epsilon is None
        with pytest.raises(CertificateError, match="no noise reaches epsilon 1"):
            replace(method, sigma=None, epsilon=1.0).check(learning)
    assert Newton(shared_noise=True, noise_source="os").shares_secret_noise
    assert not Newton(noise_source="os").shares_secret_noise


def test_shared_noise_is_one_vector():
    simulation = network(rounds=40).simulation()
    learned, (learning,) = simulation.learn([40])
    for shared in (True, False):
        method = Newton(sigma=2.0, shared_noise=shared, clean=0)
        outcome = simulation.carry_out(method, method.plan(learning), learned, int(shared))
        added = outcome.noised - outcome.centre
        assert bool((added - added[0]).abs().max() < 1e-12) == shared
        assert torch.equal(outcome.released, outcome.noised)


def test_nothing_is_claimed_before_anything_is_measured():
    learning = small()
    plan = Newton(sigma=1.0).plan(learning)
    certificate = certify(learning, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.sensitivity) == (None, ())


# -- what is done ----------------------------------------------------------------------------------------------------


def test_the_program_and_what_it_costs():
    simulation = network(rounds=40).simulation()
    learned, (learning,) = simulation.learn([40])
    samples = np.array([12, 9, 7, 20, 7, 11])
    method = Newton(iterations=5, clean=2, sigma=1.0)
    outcome = simulation.carry_out(method, method.plan(learning), learned, 0)
    # A gradient, five sweeps of a product each, the residual, two clean rounds: 12 messages on the ring in each.
    assert outcome.cost.rounds == 1 + 5 + 1 + 2
    assert outcome.cost.messages == 9 * 12
    assert outcome.cost.gradients == (1 + 5 * 2 + 1 + 2) * samples.sum()
    program = method.program(outcome.plan.release, learning, 5, 0, {})
    assert [type(step) for step in (*program.approach, *program.noise, *program.finish)] == [
        Sweeps,
        Leftover,
        AddNoise,
        Descend,
    ]
    method = Newton(reach="uniform", iterations=5, clean=1, sigma=1.0)
    outcome = simulation.carry_out(method, method.plan(learning), learned, 1)
    # A silent round, three levels of the tree with five messages in all, the residual and a clean round.
    assert outcome.cost.rounds == 1 + 3 + 1 + 1
    assert outcome.cost.messages == 5 + 2 * 12
    assert outcome.cost.gradients == 14 + 7 + 5 * 2 * 7 + 2 * samples.sum()


def test_clean_rounds_are_rounds_on_retained_data():
    simulation = network(rounds=40).simulation()
    learned, (learning,) = simulation.learn([40])
    method = Newton(sigma=1.0, clean=3)
    outcome = simulation.carry_out(method, method.plan(learning), learned, 0)
    block, W = simulation.network.crew.blocks[-1], learning.mixing.matrix(0)
    theta = outcome.noised.numpy()
    for _ in range(3):
        theta = W @ theta - block.step_size * block.gradient(torch.from_numpy(theta)).numpy()
    np.testing.assert_allclose(outcome.released.numpy(), theta, atol=1e-12)


def test_the_nodes_report_what_they_are_asked_for():
    simulation = network(rounds=40, model="huber-logistic").simulation()
    learned, (learning,) = simulation.learn([40])
    for index, reach in enumerate(("network", "uniform")):
        method = Newton(sigma=1.0, reach=reach, iterations=3)
        outcome = simulation.carry_out(method, method.plan(learning), learned, index)
        X, block = outcome.centre, simulation.network.crew.blocks[-1]
        W = learning.mixing.matrix(0)
        residual = X.numpy() - W @ X.numpy() + block.step_size * block.gradient(X).numpy()
        mechanism = outcome.plan.release.mechanism
        np.testing.assert_allclose(mechanism.residual, np.linalg.norm(residual, axis=1), rtol=1e-9)
        np.testing.assert_allclose(mechanism.moved, X.norm(dim=1).numpy(), rtol=1e-12)


def test_a_tree_is_breadth_first():
    for seed in range(5):
        W = learnings.network(seed, 15).matrix(0)
        tree = spreading(links(W), 4)
        parents, levels = np.array(tree.parents), np.array(tree.depths)
        reached = np.zeros(15, dtype=bool)
        reached[4] = True
        for level in range(levels.max() + 1):
            assert np.array_equal(levels <= level, reached)
            reached = reached | (W @ reached.astype(float) > 0)
        for node in range(15):
            assert node == 4 or (W[node, parents[node]] > 0 and levels[node] == levels[parents[node]] + 1)


@pytest.mark.parametrize(
    "step",
    [
        Sweeps(range(40, 47), "fisher", (0.1, 2.0), 3),
        Broadcast(range(40, 44), 6, 2, 14, "diagonal", 9, 3),
        Leftover(range(4, 5)),
    ],
)
def test_steps_go_over_a_wire(step):
    assert step_records.from_record(step_records.to_record(step)) == step


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error", "sentence"),
    [
        ({"epsilon": 1.0, "sigma": 1.0}, MethodError, "newton takes epsilon or sigma"),
        ({"sigma": -1.0}, MethodError, "sigma must be a non-negative number, not -1.0"),
        ({"sigma": float("nan")}, MethodError, "sigma must be a non-negative number"),
        ({"epsilon": 0.0}, CertificateError, "epsilon must be a positive number"),
        ({"delta": 1.0}, CertificateError, "delta must lie strictly"),
        ({"view": "all"}, CertificateError, "unknown view 'all'"),
        ({"reach": "near"}, MethodError, "reach is one of network, uniform, not 'near'"),
        ({"curvature": "none"}, MethodError, "curvature is one of hessian, fisher, diagonal, not 'none'"),
        ({"noise": "off"}, MethodError, "noise is one of sound, claimed, not 'off'"),
        ({"noise": "claimed", "sigma": 1.0}, MethodError, "noise claimed follows from epsilon"),
        ({"iterations": 0}, MethodError, "iterations is a number of sweeps"),
        ({"tolerance": 1.0}, MethodError, "tolerance must lie strictly between 0 and 1"),
        ({"clean": -1}, MethodError, "clean is a number of rounds, not -1"),
    ],
)
def test_settings_without_a_meaning_are_refused(bad, error, sentence):
    with pytest.raises(error, match=sentence):
        Newton(**bad)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"order": "adapt-then-combine"}, "learns in the order adapt-then-combine"),
        ({"local_steps": 2}, "one local step a round"),
        ({"sampling": "poisson"}, "full gradients"),
        ({"radius": 5.0}, "no projection"),
        ({"departure": "leave", "radius": 5.0}, "no projection"),
        ({"departure": "leave"}, "use departure relay"),
        ({"l2": 0.0}, "needs a strongly convex objective; logistic with l2 0 is not"),
        ({"model": "sigmoid", "l2": 0.01}, "needs a strongly convex objective"),
        ({"schedule": "link-failures"}, "schedule static"),
        ({"schedule": "node-sleep"}, "schedule static"),
        ({"step": 2.5}, "does not let this network converge"),
    ],
)
def test_networks_without_a_fixed_point_of_their_own_are_refused_before_learning(changes, sentence):
    with pytest.raises(CertificateError, match=sentence):
        Newton().check(network(**changes).simulation().foreseen)


def test_a_broadcast_is_for_one_client():
    with pytest.raises(CertificateError, match="answers a first request of one client"):
        Newton(reach="uniform").check(network(others=(4,)).simulation().foreseen)
    Newton().check(network(others=(4,)).simulation().foreseen)


def test_a_mixing_matrix_that_is_not_symmetric_is_refused():
    W = sparse.csr_array(np.array([[0.5, 0.5, 0.0, 0.0], [0.25, 0.5, 0.25, 0], [0, 0.25, 0.5, 0.25], [0, 0, 0.5, 0.5]]))

    class Skewed:
        nodes = 4

        def matrix(self, round):
            return W

        def awake(self, round):
            return None

    with pytest.raises(CertificateError, match="symmetric mixing matrix"):
        check_contraction(small(mixing=Skewed()), 0)


@pytest.mark.parametrize(
    ("release", "claim", "sentence"),
    [
        ({"placement": "output"}, {}, "where learned models are corrected and noised"),
        ({"restored": 20}, {}, "where learned models are corrected and noised"),
        ({}, {"bound": "worst-case"}, "the bound of its certificate is instance, not worst-case"),
        ({}, {"regime": "convex"}, "says nothing in the regime convex"),
        ({"mechanism": Residual(residual=(0.1,), moved=(1.0,))}, {}, "the residuals of 4 nodes are needed"),
        ({"mechanism": Residual(residual=(0.1,) * 4)}, {}, "the residuals of 4 nodes are needed"),
        ({"mechanism": SharedResidual(residual=(-0.1,) * 4, moved=(1.0,) * 4)}, {}, "a non-negative number"),
        ({"mechanism": Residual(residual=(float("inf"),) * 4, moved=(1.0,) * 4)}, {}, "a non-negative number"),
    ],
)
def test_what_is_no_measured_residual_is_not_certified(release, claim, sentence):
    learning = small()
    plan = measured(learning, Newton(sigma=1.0))
    with pytest.raises(CertificateError, match=sentence):
        certify(learning, replace(plan.release, **release), replace(plan.claim, **claim))


def test_the_check_of_the_fixed_point_can_fail():
    """The oracle itself: one dimension, where the fixed point is a root."""
    root = brentq(lambda x: x + 0.3 * (np.tanh(x - 1) + 0.1 * x) - x, -5, 5)
    found = fixed_point(
        np.ones((1, 1)),
        0.3,
        lambda X: np.tanh(X - 1) + 0.1 * X,
        lambda X: [np.array([[1 / np.cosh(X[0, 0] - 1) ** 2 + 0.1]])],
        np.zeros((1, 1)),
    )
    assert found[0, 0] == pytest.approx(root)


def test_a_crew_keeps_its_state_while_it_solves():
    """The learned checkpoint that the sweeps begin from is left as it was."""
    simulation = network(rounds=10).simulation()
    learned, _ = simulation.learn([10])
    before = learned.at(10).clone()
    corrected(simulation, learned, Newton(sigma=1.0))
    corrected(simulation, learned, Newton(sigma=1.0, reach="uniform"), 1)
    assert torch.equal(learned.at(10), before)


class Memory:
    """A journal that goes with the process."""

    def __init__(self):
        self.kept = {}

    def names(self):
        return list(self.kept)

    def read(self, name):
        return self.kept[name]

    def write(self, name, tensors):
        self.kept[name] = {key: tensor.clone() for key, tensor in tensors.items()}

    def remove(self, name):
        del self.kept[name]


class Stop:
    """Ends a task after so many rounds."""

    def __init__(self, rounds):
        self.left = rounds

    def after_round(self, task, step, round, W, theta, repeated):
        self.left -= 1
        if self.left < 0:
            raise InterruptedError


@pytest.mark.parametrize("reach", ["network", "uniform"])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_correction_goes_on_where_it_was_left(reach, stop):
    """In the middle of it clients keep more than a model."""
    outcomes = []
    method = Newton(sigma=1.0, reach=reach, iterations=7, clean=0)
    journal = Memory()
    for observers in ((Stop(stop),), ()):
        simulation = network(rounds=10).simulation()
        learned, (learning,) = simulation.learn([10])
        simulation.journal, simulation.observers = journal, observers
        if observers:
            with pytest.raises(InterruptedError):
                simulation.carry_out(method, method.plan(learning), learned, 0)
            assert max(tensors["theta"].shape[1] for tensors in journal.kept.values()) > 15 or stop == 4
    for kept in (journal, None):
        simulation.journal = kept
        outcomes.append(simulation.carry_out(method, method.plan(learning), learned, 0))
    one, other = outcomes
    assert torch.equal(one.centre, other.centre)
    assert one.plan.release.mechanism == other.plan.release.mechanism
    assert one.cost.messages == other.cost.messages
