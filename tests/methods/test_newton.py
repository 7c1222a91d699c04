"""Newton corrections: held against closed forms, autograd, retraining, and the bounds that they claim."""

from dataclasses import replace
from itertools import pairwise

import learnings
import networks
import numpy as np
import pytest
import torch
from addresses import address_at
from networks import Network
from newtons import measured, network, small
from scipy import sparse
from scipy.optimize import brentq

from rewindnet.certificates import CertificateError, Constant, Constants, certify
from rewindnet.certificates.mechanisms import Newton as NewtonMechanism
from rewindnet.certificates.mechanisms import NewtonSharedNoise
from rewindnet.certificates.mechanisms.fixed_point import check_contraction
from rewindnet.clients import step_records
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.newton import Newton
from rewindnet.clients.models import Model
from rewindnet.clients.models.huber_logistic import HuberLogistic
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.steps.learning import AddNoise, Descend
from rewindnet.clients.steps.newton import NewtonBroadcast, NewtonResidual, NewtonSweeps
from rewindnet.clients.training.curvature import product, solve
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.parallel import one_torch_thread
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.journal import Journal
from rewindnet.simulator.outcome import Trajectory, divergence
from rewindnet.topologies.routing import adjacency_of_weights, spreading_tree

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
    monkeypatch.setitem(networks.MODELS.entries, "ridge", Ridge)
    monkeypatch.setitem(learnings.SETTINGS, "ridge", {})


def corrected(simulation, learned, method, index=0):
    """What a method leaves before the noise, [N, d]."""
    return simulation.execute(method, method.plan(simulation.requests[-1]), learned, index).centre


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
    worker = simulation.network.worker
    block, W = worker.blocks[-1] if retained else worker.full, simulation.training_run.mixing.matrix(0).toarray()
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
    return Trajectory(simulation.network, {simulation.training_run.rounds: "here"}, Cost())


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
    X, block = learned.at(200), simulation.network.worker.blocks[-1]
    N, d = X.shape
    W, eye = simulation.training_run.mixing.matrix(0).toarray(), torch.eye(d).double()
    columns = [product(block, X, eye[k].repeat(N, 1), curvature).numpy() for k in range(d)]
    J = np.kron(np.eye(N) - W, np.eye(d))
    for i in range(N):
        J[i * d : (i + 1) * d, i * d : (i + 1) * d] += block.step_size * np.stack([C[i] for C in columns], axis=1)
    rest = (X.numpy() - W @ X.numpy() + block.step_size * block.gradient(X).numpy()).ravel()
    expected = X.numpy() - np.linalg.solve(J, rest).reshape(N, d)
    low, high = Newton(curvature=curvature).plan(simulation.training_run).release.mechanism.spectrum
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
    X, worker = learned.at(200), simulation.network.worker
    full, retained, u, N = worker.full, worker.blocks[-1], 2, 6
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


# -- what is done ----------------------------------------------------------------------------------------------------


def test_the_program_and_what_it_costs():
    simulation = network(rounds=40).simulation()
    learned, (learning,) = simulation.learn([40])
    samples = np.array([12, 9, 7, 20, 7, 11])
    method = Newton(iterations=5, clean=2, sigma=1.0)
    outcome = simulation.execute(method, method.plan(learning), learned, 0)
    # A gradient, five sweeps of a product each, the residual, two clean rounds: 12 messages on the ring in each.
    assert outcome.cost.rounds == 1 + 5 + 1 + 2
    assert outcome.cost.messages == 9 * 12
    assert outcome.cost.gradients == (1 + 5 * 2 + 1 + 2) * samples.sum()
    program = method.program(outcome.plan.release, learning, address_at(5), {})
    assert [type(step) for step in (*program.approach, *program.noise, *program.finish)] == [
        NewtonSweeps,
        NewtonResidual,
        AddNoise,
        Descend,
    ]
    method = Newton(reach="uniform", iterations=5, clean=1, sigma=1.0)
    outcome = simulation.execute(method, method.plan(learning), learned, 1)
    # A silent round, three levels of the tree with five messages in all, the residual and a clean round.
    assert outcome.cost.rounds == 1 + 3 + 1 + 1
    assert outcome.cost.messages == 5 + 2 * 12
    assert outcome.cost.gradients == 14 + 7 + 5 * 2 * 7 + 2 * samples.sum()


def test_clean_rounds_are_rounds_on_retained_data():
    simulation = network(rounds=40).simulation()
    learned, (learning,) = simulation.learn([40])
    method = Newton(sigma=1.0, clean=3)
    outcome = simulation.execute(method, method.plan(learning), learned, 0)
    block, W = simulation.network.worker.blocks[-1], learning.mixing.matrix(0)
    theta = outcome.noised.numpy()
    for _ in range(3):
        theta = W @ theta - block.step_size * block.gradient(torch.from_numpy(theta)).numpy()
    np.testing.assert_allclose(outcome.released.numpy(), theta, atol=1e-12)


def test_the_nodes_report_what_they_are_asked_for():
    simulation = network(rounds=40, model="huber-logistic").simulation()
    learned, (learning,) = simulation.learn([40])
    for index, reach in enumerate(("network", "uniform")):
        method = Newton(sigma=1.0, reach=reach, iterations=3)
        outcome = simulation.execute(method, method.plan(learning), learned, index)
        X, block = outcome.centre, simulation.network.worker.blocks[-1]
        W = learning.mixing.matrix(0)
        residual = X.numpy() - W @ X.numpy() + block.step_size * block.gradient(X).numpy()
        mechanism = outcome.plan.release.mechanism
        np.testing.assert_allclose(mechanism.residual, np.linalg.norm(residual, axis=1), rtol=1e-9)
        np.testing.assert_allclose(mechanism.moved, X.norm(dim=1).numpy(), rtol=1e-12)


def test_a_tree_is_breadth_first():
    for seed in range(5):
        W = learnings.network(seed, 15).matrix(0)
        tree = spreading_tree(adjacency_of_weights(W), 4)
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
        NewtonSweeps(range(40, 47), "fisher", (0.1, 2.0), 3),
        NewtonBroadcast(range(40, 44), 6, 2, "diagonal", 9, 3),
        NewtonResidual(range(4, 5)),
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
        ({"noise": "off"}, MethodError, "noise is one of certified, claimed, not 'off'"),
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
        Newton().check(network(**changes).simulation().training_run)


def test_a_broadcast_is_for_one_client():
    with pytest.raises(CertificateError, match="answers a first request of one client"):
        Newton(reach="uniform").check(network(others=(4,)).simulation().training_run)
    Newton().check(network(others=(4,)).simulation().training_run)


def test_a_mixing_matrix_that_is_not_symmetric_is_refused():
    W = sparse.csr_array(np.array([[0.5, 0.5, 0.0, 0.0], [0.25, 0.5, 0.25, 0], [0, 0.25, 0.5, 0.25], [0, 0, 0.5, 0.5]]))

    class Skewed:
        nodes = 4

        def matrix(self, round):
            return W

        def participating(self, round):
            return None

    with pytest.raises(CertificateError, match="symmetric mixing matrix"):
        check_contraction(small(mixing=Skewed()), 0)


@pytest.mark.parametrize(
    ("release", "claim", "sentence"),
    [
        ({"placement": "output"}, {}, "where learned models are corrected and noised"),
        ({"checkpoint_round": 20}, {}, "where learned models are corrected and noised"),
        ({}, {"bound": "worst-case"}, "the bound of its certificate is instance, not worst-case"),
        ({}, {"regime": "convex"}, "says nothing in the regime convex"),
        ({"mechanism": NewtonMechanism(residual=(0.1,), moved=(1.0,))}, {}, "the residuals of 4 nodes are needed"),
        ({"mechanism": NewtonMechanism(residual=(0.1,) * 4)}, {}, "the residuals of 4 nodes are needed"),
        ({"mechanism": NewtonSharedNoise(residual=(-0.1,) * 4, moved=(1.0,) * 4)}, {}, "a non-negative number"),
        ({"mechanism": NewtonMechanism(residual=(float("inf"),) * 4, moved=(1.0,) * 4)}, {}, "a non-negative number"),
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


class Memory(Journal):
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
        self.departed = rounds

    def after_round(self, task, step, round, W, theta, repeated):
        self.departed -= 1
        if self.departed < 0:
            raise InterruptedError


@pytest.mark.parametrize("reach", ["network", "uniform"])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_correction_goes_on_where_it_was_left(reach, stop):
    """In the middle of it clients keep more than a model."""
    outcomes = []
    method = Newton(sigma=1.0, reach=reach, iterations=7, clean=0)
    journal = Memory()
    for callbacks in ((Stop(stop),), ()):
        simulation = network(rounds=10).simulation()
        learned, (learning,) = simulation.learn([10])
        simulation.journal, simulation.callbacks = journal, callbacks
        if callbacks:
            with pytest.raises(InterruptedError):
                simulation.execute(method, method.plan(learning), learned, 0)
            assert max(tensors["theta"].shape[1] for tensors in journal.kept.values()) > 15 or stop == 4
    for kept in (journal, None):
        simulation.journal = kept
        outcomes.append(simulation.execute(method, method.plan(learning), learned, 0))
    one, other = outcomes
    assert torch.equal(one.centre, other.centre)
    assert one.plan.release.mechanism == other.plan.release.mechanism
    assert one.cost.messages == other.cost.messages
