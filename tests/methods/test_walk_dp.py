"""Private random walks: what they compute, and what may be claimed of them."""

import json
from dataclasses import replace
from itertools import pairwise
from math import inf, sqrt

import networkx as nx
import numpy as np
import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.rdp import RdpAccountant
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from learnings import small_learning
from networks import SMALL, learn_and_retrain, networks
from numpy_rr_du import Oracle
from scipy.optimize import LinearConstraint, minimize
from scipy.stats import chisquare

from rewindnet import topologies
from rewindnet.certificates import CertificateError, DivergenceBounds, audit, certify, epsilon_of
from rewindnet.certificates.accounting.renyi import epsilon_of_rho
from rewindnet.certificates.mechanisms.walk_absorption import absorption_norm
from rewindnet.certificates.mechanisms.walk_dp import walk_shifts
from rewindnet.certificates.release import Mechanism
from rewindnet.certificates.view import View
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.walk_dp import WalkDP, communicability
from rewindnet.simulator.outcome import divergence
from rewindnet.topologies.routing import mixing_walk

LEARNING = replace(SMALL, rounds=25, radius=0.4)

#: The request of `small_learning`.
DESIGN: dict[str, int] = {"designed_client": 0, "designed_samples": 5}


# -- the pull ------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=7),
    st.sampled_from([0.5, 0.9, 1.0, 1.3, 2.0]),
    st.sampled_from([0.0, 0.1]),
)
@examples(60)
def test_nothing_absorbs_for_less(felt, growth, charge):
    felt = np.array(felt)
    found = absorption_norm(felt, growth, charge)
    if not felt.any():
        assert found == 0
        return
    b = felt[np.flatnonzero(felt)[0] :].copy()
    b[1:] += charge
    T = len(b)
    # z_t = Σ_{j≤t} γ^(t−j)(b_j − a_j), which is never negative and ends at 0.
    powers = np.array([[growth ** (t - j) if j <= t else 0.0 for j in range(T)] for t in range(T)])
    arrived = powers @ b
    constraints = [LinearConstraint(powers[-1:], arrived[-1:], arrived[-1:])]
    if T > 1:
        constraints.append(LinearConstraint(powers[:-1], -inf, arrived[:-1]))
    best = minimize(
        lambda a: a @ a,
        b,
        jac=lambda a: 2 * a,
        bounds=[(0, None)] * T,
        constraints=constraints,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found == pytest.approx(sqrt(best.fun), rel=1e-4)
    assert found <= np.linalg.norm(b) * (1 + 1e-12)


@given(st.integers(1, 40), st.floats(0.3, 3.0))
def test_one_visit_is_hidden_by_the_hops_that_follow(hops, growth):
    felt = np.zeros(hops)
    felt[0] = 2.0
    assert absorption_norm(felt, growth) == pytest.approx(
        2.0 / sqrt(sum(growth ** (-2 * j) for j in range(hops))), rel=1e-9
    )


@pytest.mark.parametrize("growth", [1e-3, 0.5, 1.0, 2.0, 1e3])
def test_nothing_vanishes_or_overflows_on_long_walks(growth):
    felt = np.zeros(5000)
    felt[[0, 4999]] = 1.0
    # The last visit has no hop after it.
    assert 1.0 <= absorption_norm(felt, growth) <= sqrt(2) * (1 + 1e-12)
    felt[4999] = 0.0
    alone = absorption_norm(felt, growth)
    assert alone <= 1.0
    assert alone == pytest.approx(sqrt(max(0.0, 1 - growth**-2)), rel=1e-6) if growth > 1 else alone <= 1 / sqrt(4999)


@given(
    st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0]), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.sampled_from([0.4, 0.8, 1.0]),
)
def test_the_bound_is_never_below_the_exact_distance_of_linear_walks(felt, shown, c):
    # x ← c·x + b_t + Z_t, seen when it comes to hops that are shown, and at the end: exact linear Gaussian accounting.
    felt, T = np.array(felt), len(felt)
    seen = [hop for hop in range(1, T) if shown[hop] and felt[hop] == 0]
    tokens = [*seen, T]
    response = np.array([[c ** (at - 1 - j) if j < at else 0.0 for j in range(T)] for at in tokens])
    # Who looks on knows its own noise.
    fresh = np.array([hop not in seen for hop in range(T)])
    mean, covariance = response @ felt, response[:, fresh] @ response[:, fresh].T
    known = np.linalg.pinv(covariance)
    assert mean == pytest.approx(covariance @ known @ mean, abs=1e-9)
    exact = sqrt(max(0.0, float(mean @ known @ mean)))
    parts = np.split(felt, seen)
    bound = sqrt(sum(absorption_norm(part, c) ** 2 for part in parts))
    assert exact <= bound * (1 + 1e-9) + 1e-12
    assert bound <= np.linalg.norm(felt) * (1 + 1e-12)


def test_the_bound_is_exact_where_the_visit_comes_first():
    for c in (0.5, 1.0):
        felt = np.zeros(6)
        felt[0] = 1.0
        response = c ** np.arange(5, -1, -1)
        assert absorption_norm(felt, c) == pytest.approx(response[0] / np.linalg.norm(response))


# -- the walk ------------------------------------------------------------------------------------------------------


def test_the_walk_goes_by_the_rows_of_the_mixing_matrix():
    graph = nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3)])
    W = topologies.mix("lazy-metropolis-hastings", graph)
    holders, moves = mixing_walk(W, 4000, 3), np.zeros((4, 4))
    for one, other in pairwise(holders):
        moves[one, other] += 1
    for node in range(4):
        row = W.toarray()[node]
        assert not moves[node][row == 0].any()
        assert chisquare(moves[node][row > 0], moves[node].sum() * row[row > 0]).pvalue > 1e-3
    assert mixing_walk(W, 5, 3, start=2)[0] == 2
    assert {mixing_walk(W, 1, seed)[0] for seed in range(40)} == {0, 1, 2, 3}
    with pytest.raises(topologies.TopologyError, match="at least one hop"):
        mixing_walk(W, 0, 0)


@pytest.mark.parametrize("clip", [None, 0.2])
def test_the_token_is_that_of_plain_numpy(clip):
    simulation, learned, _, learning = learn_and_retrain(LEARNING)
    method = WalkDP(seed=2, sigma=0.0, clip=clip, hops=30, step_size=0.7)
    outcome = simulation.execute(method, method.plan(learning), learned, 0)
    way = outcome.plan.release.mechanism
    rng = np.random.default_rng(LEARNING.seed)
    LEARNING.rows(rng)
    oracle, theta, shifts, projected = Oracle(LEARNING, LEARNING.forget(rng)[1]), np.zeros(18), [], 0

    def clipped(g):
        return g if clip is None else g * min(1, clip / np.linalg.norm(g))

    for holder in way.holders:
        g = clipped(oracle.gradient(theta, holder))
        if holder == 1:
            shifts.append(np.linalg.norm(g - clipped(oracle.gradient(theta, 1, oracle.kept))))
        theta = theta - 0.7 * g
        projected += np.linalg.norm(theta) > LEARNING.radius
        theta = theta * min(1, LEARNING.radius / np.linalg.norm(theta))
    assert projected
    np.testing.assert_allclose(outcome.released.numpy(), np.tile(theta, (5, 1)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(outcome.shifts, shifts, rtol=1e-9, atol=1e-12)
    assert outcome.cost.gradients == outcome.cost.messages == 0


# -- what may be claimed -------------------------------------------------------------------------------------------


def test_rho_becomes_the_epsilon_of_dp_accounting():
    for rho, delta in ((0.01, 1e-5), (0.5, 1e-5), (3.0, 1e-9)):
        accountant = RdpAccountant()
        accountant.compose(GaussianDpEvent(sqrt(1 / (2 * rho))))
        found = epsilon_of_rho(rho, delta)
        assert accountant.get_epsilon(delta) * 0.99 <= found <= accountant.get_epsilon(delta) * (1 + 1e-9)
        assert found >= epsilon_of(sqrt(2 * rho), delta)


def test_the_claim_is_the_paper_s_sum_clipped_at_the_local_bound():
    known = small_learning(deleted=np.array([0, 5, 0, 0]))
    W, T, sigma = known.mixing.weights.toarray(), 200, 30.0
    series, power = np.zeros((4, 4)), np.eye(4)
    for t in range(1, 2000):
        power = power @ W
        series += (power - 1 / 4) / t
    np.testing.assert_allclose(communicability(known.mixing.weights), series, atol=1e-9)
    delta = float(walk_shifts(known, None)[1])
    assert delta == pytest.approx(2 * 5 / 20 * known.constants.G.value)
    harmonic = sum(1 / t for t in range(1, T + 1))
    for node in (0, 3):
        plan = WalkDP(seed=1, sigma=sigma, hops=T, view=f"transcript:{node}").plan(known)
        visits = plan.release.mechanism.holders.count(1)
        rho = (delta / sigma) ** 2 * (T / 16 * harmonic + T / 4 * series[1, node])
        local = visits * (delta / sigma) ** 2 / 2
        assert plan.claim.claimed_epsilon == pytest.approx(epsilon_of_rho(min(rho, local), 1e-5), rel=1e-9)
    whole = WalkDP(seed=1, sigma=sigma, hops=T, view="transcript:all").plan(known)
    assert whole.claim.claimed_epsilon == pytest.approx(epsilon_of_rho(local, 1e-5))


def test_far_from_the_deleting_client_less_is_claimed():
    graph = nx.path_graph(12)
    far = small_learning(
        mixing=topologies.Static(graph, topologies.mix("metropolis-hastings", graph)),
        samples=np.full(12, 20),
        deleted=np.eye(1, 12, dtype=np.int64)[0],
    )

    def claimed(hops, node):
        plan = WalkDP(seed=1, start=0, sigma=9.0, hops=hops, view=f"transcript:{node}").plan(far)
        return plan.claim.claimed_epsilon, certify(far, plan.release, plan.claim).epsilon

    assert claimed(200, 1)[0] > claimed(200, 5)[0] > claimed(200, 11)[0] > 0
    # Before a walk has mixed, the formula comes to less than nothing at far nodes; what can be proved does not.
    assert claimed(30, 11)[0] == 0 < claimed(30, 11)[1]


@pytest.mark.parametrize("view", ["node", "joint", "transcript", "transcript:2", "transcript:all"])
@pytest.mark.parametrize("radius", [None, 2.0])
def test_sound_noise_certifies_exactly_what_was_asked(view, radius):
    known = small_learning(radius=radius)
    plan = WalkDP(seed=3, hops=60, epsilon=0.8, view=view, **DESIGN).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon == pytest.approx(0.8, rel=1e-6)
    assert certificate.epsilon <= 0.8


def test_views_are_those_of_the_walk_that_was_drawn():
    known = small_learning(radius=2.0, step_size=0.1)
    method = WalkDP(seed=3, hops=80, sigma=2.0)
    release = method.plan(known).release
    way = release.mechanism
    convex = replace(way, growth=1.0)
    felt = np.array([1.0] * len(way.events))
    found = DivergenceBounds(np.zeros(4), np.zeros(4), felt)
    visits = [hop for hop, holder in enumerate(way.holders) if holder == 0]
    assert convex.mu(View.of("transcript:all"), found, release, known.mixing) == pytest.approx(sqrt(len(visits)) / 2)
    for v in (1, 2, 3):
        sightings = [hop for hop, holder in enumerate(way.holders) if holder == v]
        # Every visit is hidden by the hops until the next visit or sighting: one way to absorb, and not the best.
        windows = [
            min([hop for hop in (*visits, *sightings) if hop > visit], default=len(way.holders)) - visit
            for visit in visits
        ]
        simple = sqrt(sum(1 / window for window in windows)) / 2
        found_mu = convex.mu(View.of(f"transcript:{v}"), found, release, known.mixing)
        assert 0 < found_mu <= simple * (1 + 1e-12)
    worst = convex.mu(View.of("transcript"), found, release, known.mixing)
    every = [convex.mu(View.of(f"transcript:{v}"), found, release, known.mixing) for v in (1, 2, 3)]
    assert worst == pytest.approx(max(every))
    assert convex.mu(View.of("node"), found, release, known.mixing) <= min(every)
    assert every[2] < every[0] <= convex.mu(View.of("transcript:all"), found, release, known.mixing)


def test_who_deletes_is_a_peer_of_others_who_do():
    """What the first of two deleting clients sends goes straight to the second, that has no hop to hide it by."""
    learning = small_learning(deleted=np.array([20, 1, 0, 0]), arithmetic=None)
    way = WalkDP(sigma=2.0, hops=6).plan(learning).release
    mechanism = replace(way.mechanism, holders=(0, 1, 1, 2, 3, 3))
    shifts = np.array([1.0, 0.01, 0.01])
    found = DivergenceBounds(np.zeros(4), shifts=shifts)
    assert mechanism.nodes == (0, 1)
    assert mechanism.mu(View.of("transcript"), found, way, learning.mixing) == pytest.approx(0.5)
    # On its own it tells the same, and what it takes for its own on top.
    assert mechanism.mu(View.of("transcript:1"), found, way, learning.mixing) >= 0.5
    alone = small_learning(deleted=np.array([20, 0, 0, 0]))
    single = replace(mechanism, nodes=(0,))
    once = DivergenceBounds(np.zeros(4), shifts=np.array([1.0]))
    assert single.mu(View.of("transcript"), once, way, alone.mixing) == pytest.approx(0.5)


def test_clipping_gives_up_what_convexity_gives():
    known = small_learning(radius=2.0)
    plain, clipped = (WalkDP(seed=3, hops=60, sigma=2.0, clip=clip).plan(known) for clip in (None, 0.7))
    assert plain.release.mechanism.growth < 1
    assert clipped.release.mechanism.growth == pytest.approx(1 + 0.5 * known.constants.L.value)
    # Where it clips less than the gradients have, nothing is clipped.
    wide = WalkDP(seed=3, hops=60, sigma=2.0, clip=10.0).plan(known)
    assert wide.release.mechanism.growth == plain.release.mechanism.growth


def test_what_is_not_hidden_or_not_claimed_has_a_reason():
    known = small_learning()
    plan = WalkDP(sigma=0.0, start=0).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.claim.claimed_epsilon) == (None, None)
    assert "without noise" in certificate.reason
    gone = small_learning(deleted=np.array([20, 0, 0, 0]))
    with pytest.raises(CertificateError, match="another walk"):
        WalkDP().plan(replace(gone, departed=(0,), mixing_before=gone.mixing))
    W = known.mixing.weights.copy()
    W.data = np.random.default_rng(0).random(len(W.data)) + 0.1
    W.data /= np.repeat(np.asarray(W.sum(axis=1)).ravel(), np.diff(W.indptr))
    skew = replace(known, mixing=topologies.Static(known.mixing.graph, W))
    assert WalkDP().plan(skew).claim.claimed_epsilon is None
    with pytest.raises(CertificateError, match="symmetric"):
        WalkDP(noise="claimed").plan(skew)
    lie = replace(plan.release, mechanism=replace(plan.release.mechanism, growth=0.1))
    with pytest.raises(CertificateError, match="is described as"):
        certify(known, lie, plan.claim)
    with pytest.raises(CertificateError, match="same at all nodes"):
        certify(known, replace(plan.release, sigma=np.arange(4.0)), plan.claim)


def test_too_little_noise_says_what_it_does_not_hide():
    learning = small_learning(arithmetic=None)
    plan = WalkDP(sigma=1e-12, view="joint").plan(learning)
    found = certify(learning, plan.release, plan.claim)
    assert found.epsilon is None
    assert found.reason == "the values to which the noise (sigma 1e-12) is added may differ by far more than it hides"


def test_a_walk_that_never_comes_by_has_nothing_to_hide():
    known = small_learning()
    plan = WalkDP(hops=2, start=3, sigma=0.0).plan(known)
    assert 0 not in plan.release.mechanism.holders
    assert certify(known, plan.release, plan.claim).epsilon == 0.0


def test_the_mechanism_goes_into_the_record_and_back():
    way = WalkDP(hops=7).plan(small_learning()).release.mechanism
    assert Mechanism.from_record(json.loads(json.dumps(way.to_record()))) == way


@st.composite
def walks(draw):
    case = draw(networks(departure="relay"))
    return case, {
        "seed": draw(st.integers(0, 100)),
        "hops": draw(st.integers(1, 12)),
        "clip": draw(st.sampled_from([None, 0.05, 0.5])),
        "step_size": draw(st.sampled_from([None, 0.3])),
        "view": draw(st.sampled_from(["node", "joint", "transcript", "transcript:0", "transcript:all"])),
    }


@given(walks())
@examples(20)
def test_nothing_measured_is_more_than_certified(drawn):
    case, given = drawn
    simulation, learned, oracle, learning = learn_and_retrain(case)
    method = WalkDP(sigma=1.0, **given)
    if (given["step_size"] or learning.step_size) * case.l2 > 2:
        with pytest.raises(CertificateError, match="regularisation alone lets a token explode"):
            method.plan(learning)
        return
    outcome = simulation.execute(method, method.plan(learning), learned, 0, len(simulation.requests) - 1)
    certificate = certify(learning, outcome.plan.release, outcome.plan.claim)
    found = audit(certificate, learning.mixing, divergence(outcome.centre, oracle.at(0)), None, outcome.shifts)
    assert found.holds, found
    way, release = outcome.plan.release.mechanism, outcome.plan.release
    bounds = way.bounds(learning, release, outcome.plan.claim)
    assert way.mu(View.of(given["view"]), bounds, release, learning.mixing) <= np.linalg.norm(bounds.shifts) * (
        1 + 1e-12
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epsilon": 1.0, "sigma": 1.0}, "epsilon or sigma"),
        ({"sigma": -1.0}, "non-negative"),
        ({"hops": 0}, "hops of walk-dp is at least 1"),
        ({"clip": 0.0}, "clip of walk-dp is a positive number"),
        ({"step_size": inf}, "step_size of walk-dp is a positive number"),
    ],
)
def test_settings_without_a_meaning_are_a_sentence(given, said):
    with pytest.raises(MethodError, match=said):
        WalkDP(**given)
