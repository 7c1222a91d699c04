from dataclasses import replace
from functools import partial
from math import inf, sqrt

import networkx as nx
import numpy as np
import pytest
import torch
from addresses import address_at
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from learnings import ring_learning
from networks import SMALL, learn_and_retrain, networks
from runs import run_through
from scipy.sparse import csr_array

from rewindnet import topologies
from rewindnet.certificates import CertificateError, Constant, Constants, audit, certify, derive, propagate
from rewindnet.certificates import Langevin as LangevinMechanism
from rewindnet.certificates.accounting.renyi import epsilon_of_rho
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.mechanisms.langevin import _norm, _smallest_eigenvalue, claimed_epsilon, contractions
from rewindnet.certificates.release import Mechanism
from rewindnet.certificates.view import View
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.langevin import Langevin
from rewindnet.clients.step_records import from_record as step_from_record
from rewindnet.clients.step_records import to_record as step_to_record
from rewindnet.clients.steps.langevin import LangevinRounds
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import divergence
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

T = 20
ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient")
learning = partial(ring_learning, rounds=T)


class Matrices:
    """A network with these mixing matrices in turn."""

    def __init__(self, matrices):
        self._matrices = [csr_array(W) for W in matrices]

    @property
    def nodes(self):
        return self._matrices[0].shape[0]

    def matrix(self, round):
        return self._matrices[round % len(self._matrices)]

    def participating(self, round):
        return None


# -- quadratic losses, where everything is Gaussian ----------------------------------------------------------------


def quadratic(low, high, order, step, seed, nodes=4, dimensions=3, row_stochastic=False):
    """A learning with quadratic losses of curvature between low and high, and their Hessians [N, d, d]."""
    rng = np.random.default_rng(seed)
    matrices = []
    for _ in range(2):
        if row_stochastic:
            W = rng.uniform(size=(nodes, nodes))
            W /= W.sum(axis=1, keepdims=True)
        else:
            swap = rng.permutation(nodes)
            W = np.eye(nodes) * 0.4 + 0.3 * np.eye(nodes)[swap] + 0.3 * np.eye(nodes)[swap].T
        matrices.append(W)
    hessians = []
    for _ in range(nodes):
        Q, _ = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))
        hessians.append(Q @ np.diag(rng.uniform(low, high, dimensions)) @ Q.T)
    l2 = max(low, 0.0)
    known = [Constant(value, "declared") for value in (1.0, 1.0, high, l2, low)]
    return (
        learning(
            mixing=Matrices(matrices),
            constants=Constants("quadratic", *known),
            order=order,
            step_size=step,
            samples=np.full(nodes, 100),
            deleted=np.array([10, *[0] * (nodes - 1)]),
        ),
        np.array(hessians),
    )


def round_of(known, hessians, t):
    """The matrix [Nd, Nd] of a round of the network on quadratic losses."""
    N, d, _ = hessians.shape
    steps = np.zeros((N * d, N * d))
    for i, H in enumerate(hessians):
        steps[i * d : (i + 1) * d, i * d : (i + 1) * d] = np.eye(d) - known.step_size * H
    mix = np.kron(known.mixing.matrix(t).toarray(), np.eye(d))
    if known.order == "adapt-then-combine":
        return mix @ steps
    return steps @ mix if known.order == "combine-then-adapt" else mix + steps - np.eye(N * d)


@given(
    low=st.sampled_from([-0.5, 0.0, 0.1, 0.9]),
    order=st.sampled_from(ORDERS),
    step=st.sampled_from([0.1, 0.5, 1.0, 1.9]),
    seed=st.integers(0, 1000),
    rounds=st.integers(0, 6),
    row_stochastic=st.booleans(),
)
@examples(40)
def test_the_exact_distance_of_quadratic_rounds_is_never_larger(low, order, step, seed, rounds, row_stochastic):
    known, hessians = quadratic(low, 1.0, order, step, seed, row_stochastic=row_stochastic)
    size = hessians.shape[0] * hessians.shape[1]
    rng = np.random.default_rng(seed)
    start, sigma = rng.standard_normal(size), 0.7
    maps = [round_of(known, hessians, T + k) for k in range(rounds)]
    bounds = contractions(known, None, rounds)
    for M, c in zip(maps, bounds, strict=False):
        assert np.linalg.norm(M, 2) <= c
    # X_K = R(…(X_0 + ξ_0)…): mean and covariance of the difference and the noise.
    mean, cov = start, np.zeros((size, size))
    for M in maps:
        mean, cov = M @ mean, M @ (cov + sigma**2 * np.eye(size)) @ M.T
    plan = Langevin(sigma=sigma, rounds=rounds).plan(known)
    mechanism = plan.release.mechanism
    distances = np.linalg.norm(start.reshape(4, 3), axis=1)

    def mu(view):
        return mechanism.mu(View.of(view), DivergenceBounds(distances), plan.release, known.mixing)

    if not rounds:
        assert mu("joint") == pytest.approx(np.linalg.norm(start) / sigma)
        return
    # Even before the last round, which only hides more.
    mean_before, cov_before = start, sigma**2 * np.eye(size)
    for M in maps[:-1]:
        mean_before, cov_before = M @ mean_before, M @ cov_before @ M.T + sigma**2 * np.eye(size)
    exact = sqrt(mean_before @ np.linalg.solve(cov_before, mean_before))
    assert exact <= mu("joint") * (1 + 1e-9)
    for node in range(4):
        part = slice(3 * node, 3 * node + 3)
        seen = sqrt(mean[part] @ np.linalg.pinv(cov[part, part], rcond=1e-10) @ mean[part])
        assert seen <= mu(f"node:{node}") * (1 + 1e-6)
        assert mu(f"node:{node}") <= mu("node") * (1 + 1e-12)
    assert mu("node") <= mu("joint") * (1 + 1e-12)
    assert mu("joint") <= mu("transcript:all") * (1 + 1e-12)


@pytest.mark.parametrize("rounds", [1, 2, 7])
@pytest.mark.parametrize("order", ORDERS)
def test_the_worst_direction_attains_it(order, rounds):
    """All nodes moved alike, along the direction of least curvature: mixing does nothing and descent its least."""
    known, _ = quadratic(0.2, 1.0, order, 0.6, 3)
    c, sigma = 1 - 0.6 * 0.2, 0.5
    assert contractions(known, None, rounds) == pytest.approx((c,) * (rounds - 1))
    plan = Langevin(sigma=sigma, rounds=rounds).plan(known)
    Z, variance, mean = 3.0, sigma**2, 3.0
    for _ in range(rounds - 1):
        mean, variance = c * mean, c * c * variance + sigma**2
    certificate = certify(known, plan.release, plan.claim)
    unit = certificate.mu / np.linalg.norm(certificate.sensitivity)
    assert unit * Z == pytest.approx(mean / sqrt(variance))
    closed = (1 / sigma) * c ** (rounds - 1) * sqrt((1 - c**2) / (1 - c ** (2 * rounds)))
    assert unit == pytest.approx(closed)


def test_without_strong_convexity_the_noises_still_add_up():
    known = learning(constants=derive("logistic", Constant(1.0, "enforced"), l2=0.0))
    plan = Langevin(sigma=0.5, rounds=16).plan(known)
    assert plan.release.mechanism.contraction == pytest.approx((1.0,) * 15)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.mu == pytest.approx(np.linalg.norm(certificate.sensitivity) / (0.5 * sqrt(16)))
    assert plan.claim.claimed_epsilon is None
    grows = Langevin(sigma=0.5, rounds=16, regime="nonconvex").plan(known)
    assert min(grows.release.mechanism.contraction) > 1
    assert certify(known, grows.release, grows.claim).epsilon < inf


def test_messages_are_hidden_by_the_first_noise_alone():
    known = learning()
    of = {}
    for view in ("joint", "node", "transcript:all", "transcript:2"):
        plan = Langevin(sigma=0.2, rounds=8, view=view).plan(known)
        of[view] = certify(known, plan.release, plan.claim)
    e = np.array(of["joint"].sensitivity)
    assert of["transcript:all"].mu == pytest.approx(np.linalg.norm(e) / 0.2)
    assert of["transcript:2"].mu == pytest.approx(of["transcript:all"].mu)
    assert of["joint"].mu < of["transcript:all"].mu / 2
    # Within one round only the neighbours' vectors have come.
    near = Langevin(sigma=0.2, rounds=1, view="transcript:2").plan(known)
    assert certify(known, near.release, near.claim).mu == pytest.approx(np.linalg.norm(e[[1, 2, 3]]) / 0.2)


# -- contraction ---------------------------------------------------------------------------------------------------


def test_the_condition_for_consensus_plus_gradient():
    """c = 1 − ημ if η(L + μ) ≤ 1 + λ_min(W), and λ_min(W) − ηL otherwise."""
    known = learning(order="consensus-plus-gradient")
    W, L, mu = known.mixing.matrix(0).toarray(), known.constants.L.value, 0.1
    least = np.linalg.eigvalsh(W)[0]
    for step in (0.05, 0.9 * (1 + least) / (L + mu), 1.5 * (1 + least) / (L + mu)):
        (c,) = contractions(replace(known, step_size=step), None, 2)
        expected = 1 - step * mu if step * (L + mu) <= 1 + least else step * L - least
        assert c == pytest.approx(expected)


@given(seed=st.integers(0, 1000), nodes=st.integers(1, 8))
@examples(30)
def test_norms_and_eigenvalues_of_large_networks_are_bounds(seed, nodes):
    rng = np.random.default_rng(seed)
    A = csr_array(rng.uniform(size=(nodes, nodes)) * (rng.uniform(size=(nodes, nodes)) < 0.5))
    W = np.abs(np.linalg.matrix_power(topologies.mix("metropolis-hastings", nx.path_graph(nodes)).toarray(), 2))
    exact = np.linalg.norm(A.toarray(), 2), np.linalg.eigvalsh(W)[0]
    assert _norm(A) <= exact[0] * (1 + 1e-12) + 1e-300
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rewindnet.certificates.mechanisms.langevin._LARGEST", 0)
        assert _norm(A) >= exact[0] * (1 - 1e-12)
        assert _smallest_eigenvalue(csr_array(W)) <= exact[1] + 1e-12


def test_who_sleeps_does_not_contract():
    graph = nx.cycle_graph(6)
    mixing = topologies.schedule(
        "node-sleep", graph, topologies.mix("metropolis-hastings", graph), 1, (), probability=0.5
    )
    known = learning(mixing=mixing, samples=np.full(6, 9), deleted=np.array([1, 0, 0, 0, 0, 0]))
    found = contractions(known, None, 30)
    asleep = [not mixing.participating(T + t).all() for t in range(29)]
    assert any(asleep)
    assert all((c > 1 - 0.04) == sleeps for c, sleeps in zip(found, asleep, strict=True))


# -- the paper -----------------------------------------------------------------------------------------------------


def test_the_paper_claims_its_renyi_divergence():
    known = learning()
    plan = Langevin(sigma=0.3, rounds=7).plan(known)
    c, Z = 1 - 0.5 * 0.1, 2 * 10 / 100 * sqrt(2) / 0.1
    rho = Z**2 / (2 * 0.3**2) * (1 - c**2) * c**14 / (1 - c**14)
    assert plan.claim.claimed_epsilon == pytest.approx(epsilon_of_rho(rho, 1e-5))
    whole = learning(deleted=np.array([100, 0, 0, 0, 0]), radius=2.0)
    plan = Langevin(sigma=0.3, rounds=7).plan(whole)
    Z = min(sqrt(2) / 0.1, 2 * 2.0 * sqrt(5))
    rho = Z**2 / (2 * 0.3**2) * (1 - c**2) * c**14 / (1 - c**14)
    assert claimed_epsilon(whole, plan.release, plan.claim) == pytest.approx(epsilon_of_rho(rho, 1e-5))


# -- plans ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [0, 1, None])
@pytest.mark.parametrize("view", ["joint", "node", "node:3", "average", "transcript", "transcript:all"])
def test_an_epsilon_decides_the_noise(view, rounds):
    known = learning()
    plan = Langevin(epsilon=0.7, view=view, rounds=rounds).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon == pytest.approx(0.7)
    assert certificate.epsilon <= 0.7
    assert certificate.from_record(certificate.to_record()) == certificate
    assert certificate.release.mechanism == plan.release.mechanism


def test_nothing_deleted_takes_no_noise():
    known = learning(deleted=np.zeros(5, dtype=np.int64))
    plan = Langevin().plan(known)
    assert not plan.release.sigma.any()
    assert certify(known, plan.release, plan.claim).epsilon == 0.0


def test_what_is_stated_must_be_proven():
    known = learning()
    plan = Langevin(rounds=4).plan(known)
    release, c = plan.release, plan.release.mechanism.contraction
    for changed, words in (
        (replace(release, mechanism=LangevinMechanism((c[0] * 0.99, *c[1:]))), "noisy round 0 may expand"),
        (replace(release, mechanism=LangevinMechanism((float("nan"), *c[1:]))), "noisy round 0 may expand"),
        (replace(release, mechanism=LangevinMechanism(c[1:])), "have a contraction each"),
        (replace(release, sigma=np.array([1.0, 1, 1, 1, 2])), "the same at every node"),
        (replace(release, gossip_rounds=1), "nothing follows"),
        (replace(release, checkpoint_round=T - 1), "begin at the learned models"),
    ):
        with pytest.raises(CertificateError, match=words):
            certify(known, changed, plan.claim)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epsilon": 1.0, "sigma": 1.0}, "both are given"),
        ({"rounds": -1}, "number of noisy rounds"),
        ({"sigma": inf}, "sigma must be a non-negative number"),
        ({"bound": "published"}, "worst-case and instance"),
    ],
)
def test_bad_settings_are_sentences(given, words):
    with pytest.raises(MethodError, match=words):
        Langevin(**given)


@pytest.mark.parametrize("bound", ["worst-case", "instance"])
def test_settings_that_do_not_fit_are_found_before_learning(bound):
    for setting, words in (({"view": "node:7"}, "does not exist"), ({"regime": "weakly-convex"}, "does not prove")):
        with pytest.raises(CertificateError, match=words):
            Langevin(bound=bound, **setting).check(learning())


# -- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_the_rounds_are_the_networks_own_with_noise_before_each(order):
    case = replace(SMALL, order=order, precision="exact")
    simulation, learned, _, known = learn_and_retrain(case)
    method = Langevin(sigma=0.1, rounds=3)
    outcome = simulation.execute(method, method.plan(known), learned, index=5)
    block, W = simulation.network.worker.blocks[1], known.mixing.matrix(0).toarray()
    theta = learned.at(6).numpy()

    def noise(stream, round):
        context = f"{outcome.address.scenario} {outcome.address.forget}"
        generators = [rng_at(case.seed, stream, round, node, context) for node in range(case.nodes)]
        return 0.1 * np.array([generator.standard_normal(theta.shape[1]) for generator in generators])

    def descend(x):
        return x - known.step_size * block.gradient(torch.from_numpy(x)).numpy()

    for t in range(3):
        x = theta + (noise(Stream.ROUND_NOISE, 50_000_005 + t) if t else noise(Stream.NOISE, 5))
        if order == "adapt-then-combine":
            theta = W @ descend(x)
        else:
            theta = descend(W @ x) if order == "combine-then-adapt" else W @ x + descend(x) - x
    np.testing.assert_allclose(outcome.released.numpy(), theta, rtol=1e-12, atol=1e-14)
    assert outcome.cost.messages == 3 * 2 * case.nodes
    assert outcome.cost.gradients == 3 * int((known.samples - known.deleted).sum())


def test_steps_and_mechanisms_go_over_a_wire():
    step = LangevinRounds("combine-then-adapt", range(3, 5), (0.1, 0.2), address_at(7, 1, "os"))
    assert step_from_record(step_to_record(step)) == step
    assert Mechanism.from_record(LangevinMechanism((0.5, 1.5)).to_record()) == LangevinMechanism((0.5, 1.5))


@given(
    case=networks(),
    rounds=st.integers(0, 3),
    view=st.sampled_from(["node", "joint", "transcript", "transcript:all", "average"]),
    bound=st.sampled_from(["instance", "worst-case"]),
)
@examples(12)
def test_what_is_measured_never_exceeds_what_is_certified(case, rounds, view, bound):
    if case.departure == "leave" and bound == "worst-case" and case.radius is None:
        bound = "instance"
    simulation, learned, oracle, known = learn_and_retrain(case)
    method = Langevin(rounds=rounds, view=view, bound=bound)
    plan = method.plan(known)
    outcome = simulation.execute(method, plan, learned, 0, len(simulation.requests) - 1)
    certificate = certify(known, plan.release, plan.claim)
    apart_by = divergence(outcome.centre, oracle.at(known.rounds)) * known.present
    assert audit(certificate, known.mixing, apart_by, shifts=outcome.shifts).holds
    assert certificate.epsilon is None or certificate.epsilon <= 1.0
    assert not outcome.released[list(known.departed)].any()
    assert certificate.sensitivity == tuple(
        propagate(known, disturbed=known.rounds, undisturbed=0, bound=bound).total.tolist()
    )


# -- runs ----------------------------------------------------------------------------------------------------------


def test_a_run_is_verified(tmp_path):
    scenario = {
        "name": "noisy",
        "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
        "partition": {"clients": 4},
        "topology": "ring",
        "learning": {"rounds": 6},
        "deletion": {"samples": 3},
        "unlearning": [
            {"method": "langevin", "bound": "instance"},
            {"method": "noisy-finetune", "start_radius": 1.0, "bound": "published"},
            {"method": "noisy-finetune", "clipping": "model", "model_radius": 0.5, "view": "joint"},
        ],
    }
    finished = run_through(scenario, tmp_path / "run")
    assert [row["method"] for row in finished.summary][:3] == ["langevin", "noisy-finetune", "noisy-finetune"]
    assert all(found.holds for _, found in finished.certified)
    assert [str(found) for found in verify_folder(tmp_path / "run") if not found.holds] == []
    assert "langevin" in write_report(tmp_path / "run").read_text(encoding="utf-8")
