"""What may be claimed of a Newton correction: how far off it may be, and what hides that."""

from dataclasses import replace
from functools import cache

import learnings
import networks
import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from newtons import measured, network, small
from scipy import sparse

from rewindnet.certificates import (
    Arithmetic,
    Certificate,
    CertificateError,
    Constant,
    audit,
    certify,
    covers,
    epsilon_of,
)
from rewindnet.certificates.mechanisms.fixed_point import lowest_eigenvalue, retraining_distance, upper_solution
from rewindnet.certificates.view import View
from rewindnet.clients.methods.newton import Newton
from rewindnet.simulator.outcome import divergence

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
    outcome = simulation.execute(method, method.plan(learning), learned, index)
    release = outcome.plan.release
    certificate = certify(learning, release, outcome.plan.claim)
    return outcome, certificate, divergence(outcome.centre, simulation.oracle_state(release, oracle))


def test_on_a_large_ring_the_network_is_within_its_bound_where_a_broadcast_is_far_outside_of_its_own():
    simulation, learned, oracle, learning = ring_of_32()
    block, mu = simulation.network.worker.blocks[-1], learning.constants.strong_convexity.value

    def of_the_average(theta):
        """‖∇F'(x̃)‖/μ for the average objective: how far from its optimum a consensus would be."""
        return float(block.gradient(theta.mean(dim=0).repeat(32, 1)).mean(dim=0).norm()) / mu

    found = {}
    for index, reach in enumerate(("network", "uniform")):
        outcome, certificate, apart = held(simulation, learned, oracle, learning, Newton(reach=reach), index)
        assert np.all(apart <= certificate.sensitivity)
        assert float(np.linalg.norm(apart)) <= certificate.mu * certificate.release.sigma[0]
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


@examples(8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(cases())
def test_no_node_is_further_off_than_its_sensitivity(case):
    stays_within(case)


@pytest.mark.slow
@examples(60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(cases())
def test_no_node_is_further_off_than_its_sensitivity_in_many_cases(case):
    stays_within(case)


def stays_within(case):
    """Every node, all of them together, and what an audit makes of it."""
    drawn, given_settings = case
    assume(given_settings["reach"] == "network" or len(drawn.deleting) == 1)
    simulation = drawn.simulation()
    method = Newton(**given_settings)
    W, constants = simulation.training_run.mixing.matrix(0), simulation.training_run.constants
    assume(float(np.linalg.eigvalsh(W.toarray())[0]) - simulation.training_run.step_size * constants.L.value > -0.999)
    method.check(simulation.training_run)
    simulation, learned, oracle, learning = learned_and_retrained(drawn)
    _, certificate, apart = held(simulation, learned, oracle, learning, method)
    assert np.all(apart <= certificate.sensitivity)
    assert certificate.epsilon == pytest.approx(1.0, rel=1e-6)
    found = audit(certificate, learning.mixing, apart)
    assert found.holds
    assert found.epsilon_empirical <= certificate.epsilon


def test_the_bound_is_no_idle_one():
    """Where retraining has come to its end, the sensitivity is within a factor of what is measured."""
    simulation, learned, oracle, learning = ring_of_32()
    _, certificate, apart = held(simulation, learned, oracle, learning, Newton(), 7)
    assert certificate.sensitivity[3] < 3 * apart[3]
    _, short, _ = held(simulation, learned, oracle, learning, Newton(iterations=1), 8)
    assert max(short.sensitivity) > max(certificate.sensitivity)


def test_what_is_dominated_is_above_the_solution_and_barely():
    rng = np.random.default_rng(0)
    for nodes in (1, 2, 40):
        W = learnings.network(3, nodes).matrix(0) if nodes > 1 else sparse.csr_array(np.ones((1, 1)))
        for pull in (1e-6, 0.01, 3.0):
            right = rng.uniform(0, 1, nodes) * (rng.uniform(size=nodes) < 0.5)
            exact = np.linalg.solve((1 + pull) * np.eye(nodes) - W.toarray(), right)
            found = upper_solution(W, pull, right)
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
    assert found.stacked == pytest.approx(2 * near + min(np.linalg.norm(e), stacked), rel=1e-5)
    assert not found.rounding.any()


def test_the_start_is_no_further_than_the_constants_say():
    known = small(arithmetic=Arithmetic(2.0**-53, 6, 3, 18, 0.5))
    G, l2 = known.constants.G.value, 0.01
    for moved, start in ((0.1, None), (1e6, (G + l2 * 0.5) / l2)):
        plan = measured(known, Newton(sigma=1.0), residual=1e-9, moved=moved)
        found = plan.release.mechanism.bounds(known, plan.release, plan.claim)
        far, _ = retraining_distance(known, np.full(4, moved + 1e-9 / (0.4 * l2) if start is None else start))
        np.testing.assert_allclose(found.nodes, far.nodes, rtol=1e-4)


def test_rounding_is_charged_by_the_arithmetic():
    totals = []
    for u in (2.0**-53, 2.0**-24):
        known = small(arithmetic=Arithmetic(u, 6, 3, 18, 0.0))
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
    assert (certificate.release.checkpoint_round, certificate.release.descent_rounds, certificate.rewound_rounds) == (
        30,
        clean,
        0,
    )
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
    together = min(float(np.linalg.norm(bounds.nodes)), bounds.stacked)
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
    epsilon = certify(learning, plan.release, plan.claim).epsilon
    # 50 times the residual: the same noise hides less, and the claim stays what it was.
    worse = measured(learning, Newton(epsilon=0.5, noise="claimed"), residual=0.5)
    assert worse.claim.claimed_epsilon == pytest.approx(0.5)
    assert certify(learning, worse.release, worse.claim).epsilon > epsilon
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
    assert audit(certificate, learning.mixing, np.full(4, 1e-9)).epsilon_empirical is None


def test_several_releases_together_cover_no_messages_either():
    learning = small()
    for view, models in (("joint", True), ("node", True), ("node:1", False)):
        plan = measured(learning, Newton(view=view))
        certificate = certify(learning, plan.release, plan.claim)
        assert covers(certificate, View.of("node:1"))
        assert covers(certificate, View.of("joint")) == covers(certificate, View.of("average")) == (view == "joint")
        assert covers(certificate, View.of("node:2")) == models
        assert not any(
            covers(certificate, View.of(other)) for other in ("transcript", "transcript:1", "transcript:all")
        )


def test_one_vector_for_all_hides_a_single_model_and_nothing_more():
    learning = small()
    alone = measured(learning, Newton(shared_noise=True, view="node:1", clean=0))
    certificate = certify(learning, alone.release, alone.claim)
    assert certificate.epsilon == pytest.approx(1.0)
    assert certificate.mu == pytest.approx(certificate.sensitivity[1] / certificate.release.sigma[1])
    for given_settings in ({"view": "node"}, {"view": "joint", "clean": 0}, {"view": "average", "clean": 0}):
        method = Newton(shared_noise=True, sigma=9.0, **given_settings)
        plan = measured(learning, method)
        certificate = certify(learning, plan.release, plan.claim)
        assert certificate.epsilon is None
        assert "all nodes carry one and the same noise vector" in certificate.reason
        assert audit(certificate, learning.mixing, np.full(4, 1e-9)).epsilon_empirical is None
        with pytest.raises(CertificateError, match="no noise reaches epsilon 1"):
            replace(method, sigma=None, epsilon=1.0).check(learning)
    assert Newton(shared_noise=True, noise_source="os").shares_secret_noise
    assert not Newton(noise_source="os").shares_secret_noise


def test_shared_noise_is_one_vector():
    simulation = network(rounds=40).simulation()
    learned, (learning,) = simulation.learn([40])
    for shared in (True, False):
        method = Newton(sigma=2.0, shared_noise=shared, clean=0)
        outcome = simulation.execute(method, method.plan(learning), learned, int(shared))
        added = outcome.noised - outcome.centre
        assert bool((added - added[0]).abs().max() < 1e-12) == shared
        assert torch.equal(outcome.released, outcome.noised)


def test_nothing_is_claimed_before_anything_is_measured():
    learning = small()
    plan = Newton(sigma=1.0).plan(learning)
    certificate = certify(learning, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.sensitivity) == (None, ())
