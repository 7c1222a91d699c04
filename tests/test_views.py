import json
from dataclasses import replace
from math import inf, isfinite, nan, sqrt

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import topologies
from certificates import (
    Arithmetic,
    Certificate,
    CertificateError,
    Claim,
    Constant,
    Learning,
    Ledger,
    Release,
    calibrate,
    certify,
    claimed_epsilon,
    derive,
    epsilon_of,
    least_depth,
    mu_of,
    mu_of_view,
    parse_view,
    propagate,
    scaled_noise,
    settled,
    textbook_epsilon,
)
from certificates.views import noise_shape, uncovered

DELTA = 1e-5


def network(seed, nodes, rule="metropolis-hastings"):
    """A connected random graph, its mixing matrix in every round."""
    graph = nx.Graph(nx.random_labeled_tree(nodes, seed=seed))
    graph = nx.compose(graph, nx.gnp_random_graph(nodes, 0.2, seed=seed))
    return topologies.Static(graph, topologies.mix(rule, graph))


def ledger(generator, rounds, local_steps, nodes, worst):
    """Measurements as learning might make them: disturbances below the worst case."""
    return Ledger(tuple(nodes), generator.uniform(0, worst, (rounds, local_steps, len(nodes))))


@st.composite
def learnings(draw, largest=8, measured=True):
    """A small network that learned, and whose nodes 0 and perhaps 1 delete something."""
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    nodes, rounds, local_steps = draw(st.integers(2, largest)), draw(st.integers(1, 8)), draw(st.integers(1, 2))
    mixing = network(seed, nodes)
    samples = generator.integers(1, 50, nodes)
    deleted = np.zeros(nodes, dtype=np.int64)
    for node in range(draw(st.integers(1, 2))):
        deleted[node] = draw(st.integers(1, int(samples[node])))
    constants = derive(
        draw(st.sampled_from(["logistic", "sigmoid"])), Constant(1.0, "enforced"), draw(st.sampled_from([0.0, 0.05]))
    )
    step_size = draw(st.floats(0.01, 1.5))
    kept = None
    if measured:
        kept = ledger(generator, rounds, local_steps, np.flatnonzero(deleted).tolist(), step_size * constants.G.value)
    return Learning(
        mixing=mixing,
        rounds=rounds,
        step_size=step_size,
        local_steps=local_steps,
        order=draw(st.sampled_from(["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])),
        constants=constants,
        samples=samples,
        deleted=deleted,
        ledger=kept,
        arithmetic=draw(st.sampled_from([None, Arithmetic(2.0**-53, 6, 3, 0.1), Arithmetic(2.0**-24, 6, 3, 0.0)])),
    )


def views_of(nodes):
    return st.one_of(
        st.sampled_from(["node", "joint", "average", "transcript:all"]),
        st.integers(0, nodes - 1).map(lambda node: f"node:{node}"),
    )


@st.composite
def requests(draw):
    """A learning, a release without noise yet, and a claim that noise can meet."""
    learning = draw(learnings())
    view = draw(views_of(learning.mixing.nodes))
    placement = draw(st.sampled_from(["output", "rewind"]))
    averaged = view == "average" and placement == "output"
    restored = draw(st.integers(0, learning.rounds))
    release = Release(
        method="r2d",
        restored=restored,
        descended=learning.rounds - restored,
        placement=placement,
        sigma=np.zeros(learning.mixing.nodes),
        settle=0 if averaged else draw(st.integers(0, 3)),
        averaged=averaged,
    )
    claim = Claim(
        view,
        draw(st.sampled_from([1e-9, DELTA, 0.01])),
        draw(st.sampled_from(["worst-case", "instance"])),
        draw(st.sampled_from(["uniform", "optimal"])),
    )
    return learning, release, claim


def small_learning(**changes):
    """Four nodes on a path; node 0 deletes."""
    graph = nx.path_graph(4)
    learning = Learning(
        mixing=topologies.Static(graph, topologies.mix("metropolis-hastings", graph)),
        rounds=10,
        step_size=0.5,
        local_steps=1,
        order="adapt-then-combine",
        constants=derive("logistic", Constant(1.0, "enforced"), 0.01),
        samples=np.array([20, 20, 20, 20]),
        deleted=np.array([5, 0, 0, 0]),
    )
    return replace(learning, **changes)


def release_of(sigma, **changes):
    return replace(Release("r2d", 5, 5, "output", np.asarray(sigma, dtype=float)), **changes)


MIXING = small_learning().mixing
DISTANCE = np.array([0.4, 0.3, 0.0, 0.1])
SIGMA = np.array([2.0, 0.5, 1.0, 0.25])


def test_the_views_of_a_release_with_noise_on_the_result():
    release = release_of(SIGMA)
    ratios = DISTANCE / SIGMA
    for node in range(4):
        assert mu_of_view(f"node:{node}", DISTANCE, release, MIXING) == pytest.approx(ratios[node])
    assert mu_of_view("node", DISTANCE, release, MIXING) == pytest.approx(ratios.max())
    together = sqrt((ratios**2).sum())
    for view in ("joint", "transcript:all", "average"):
        assert mu_of_view(view, DISTANCE, release, MIXING) == pytest.approx(together)
    averaged = release_of([0.5] * 4, averaged=True)
    assert mu_of_view("average", DISTANCE, averaged, MIXING) == pytest.approx(DISTANCE.mean() / 0.5)


@pytest.mark.parametrize("view", ["node", "node:2", "joint", "average", "transcript:all"])
@pytest.mark.parametrize("settle", [0, 3])
def test_every_view_of_noise_on_the_checkpoint_inherits_the_transcript(view, settle):
    release = release_of(SIGMA, placement="rewind", settle=settle)
    expected = np.linalg.norm(DISTANCE / SIGMA)
    assert mu_of_view(view, DISTANCE, release, MIXING) == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 5))
def test_a_settled_node_sees_the_gaussian_that_gossip_makes(seed, nodes, settle):
    generator = np.random.default_rng(seed)
    mixing = network(seed, nodes)
    W = mixing.weights.toarray()
    P = np.linalg.matrix_power(W, settle)
    distance = generator.uniform(0, 1, nodes) * (generator.uniform(0, 1, nodes) < 0.7)
    sigma = generator.uniform(0.1, 2, nodes)
    release = Release("r2d", 3, 4, "output", sigma, settle=settle)
    np.testing.assert_allclose(settled(release, mixing).toarray(), P, atol=1e-12)
    covariance = P @ np.diag(sigma**2) @ P.T
    for node in range(nodes):
        # The furthest that node's centre can move where every node moves by at most its distance.
        furthest = np.abs(P[node]) @ distance
        found = mu_of_view(f"node:{node}", distance, release, mixing)
        assert found == pytest.approx(furthest / sqrt(covariance[node, node]), rel=1e-9)
        # Brute force: no movement of the centres in one dimension, at any of its corners, is told apart better.
        for signs in generator.choice([-1.0, 1.0], (20, nodes)):
            shift = abs(float(P[node] @ (signs * distance)))
            assert shift / sqrt(covariance[node, node]) <= found * (1 + 1e-9)
        # Seeing one settled node is post-processing of seeing all of them.
        assert found <= mu_of_view("joint", distance, release, mixing) * (1 + 1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(0, 3))
def test_all_settled_models_together_tell_no_more_than_the_noised_ones(seed, nodes, settle):
    generator = np.random.default_rng(seed)
    mixing = network(seed, nodes)
    P = np.linalg.matrix_power(mixing.weights.toarray(), settle)
    distance, sigma = generator.uniform(0, 1, nodes), generator.uniform(0.1, 2, nodes)
    joint = mu_of_view("joint", distance, Release("r2d", 0, 1, "output", sigma, settle=settle), mixing)
    for signs in generator.choice([-1.0, 1.0], (10, nodes)):
        shift = P @ (signs * distance)
        covariance = P @ np.diag(sigma**2) @ P.T
        exact = sqrt(max(0.0, shift @ np.linalg.pinv(covariance, rcond=1e-10) @ shift))
        assert exact <= joint * (1 + 1e-5)


def test_a_large_network_settles_within_the_joint_view(monkeypatch):
    release = release_of(SIGMA, settle=2)
    exact = [mu_of_view(f"node:{node}", DISTANCE, release, MIXING) for node in range(4)]
    monkeypatch.setattr("certificates.views._LARGEST_SETTLED", 3)
    bounded = [mu_of_view(f"node:{node}", DISTANCE, release, MIXING) for node in range(4)]
    assert bounded == pytest.approx([mu_of_view("joint", DISTANCE, release, MIXING)] * 4)
    assert all(one <= other for one, other in zip(exact, bounded, strict=True))


def test_a_node_that_may_differ_without_noise_can_be_told_apart_for_certain():
    bare = release_of([1.0, 0.0, 0.0, 1.0])
    assert mu_of_view("node:1", DISTANCE, bare, MIXING) == inf
    assert mu_of_view("node:2", DISTANCE, bare, MIXING) == 0.0
    assert mu_of_view("joint", DISTANCE, bare, MIXING) == inf
    certificate = certify(small_learning(), release_of(np.zeros(4)), Claim("node", DELTA))
    assert (certificate.epsilon, certificate.mu) == (None, None)
    assert certificate.reason.startswith("node 0 carries no noise, and its model may still differ")


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(2, 10))
def test_no_other_noise_meets_a_joint_view_with_less_in_all(seed, nodes):
    generator = np.random.default_rng(seed)
    e = generator.exponential(1, nodes) * (generator.uniform(0, 1, nodes) < 0.8)
    assume(e.any())
    release, mixing = Release("r2d", 1, 1, "output", np.zeros(nodes)), network(seed, nodes)

    def reaching_one(shape):
        return shape * mu_of_view("joint", e, replace(release, sigma=shape), mixing)

    optimal = reaching_one(noise_shape("joint", "optimal", e, release))
    assert mu_of_view("joint", e, replace(release, sigma=optimal), mixing) == pytest.approx(1.0)
    assert (optimal[e == 0] == 0).all()
    assert (optimal**2).sum() == pytest.approx(e.sum() ** 2)
    for spread in (0.01, 0.3, 2.0):
        other = reaching_one(optimal * np.exp(spread * generator.standard_normal(nodes)))
        assert (other**2).sum() >= (optimal**2).sum() * (1 - 1e-12)
    uniform = reaching_one(noise_shape("joint", "uniform", e, release))
    assert (uniform**2).sum() >= (optimal**2).sum() * (1 - 1e-12)
    assert (uniform**2).sum() == pytest.approx(nodes * (e**2).sum())


def test_a_single_nodes_view_takes_noise_in_proportion():
    release = release_of(np.zeros(4))
    for view in ("node", "node:3"):
        shape = noise_shape(view, "optimal", DISTANCE, release)
        np.testing.assert_allclose(shape / shape[0], DISTANCE / DISTANCE[0])
    early = noise_shape("node", "optimal", DISTANCE, release_of(np.zeros(4), placement="rewind"))
    np.testing.assert_allclose(early / early[0], np.sqrt(DISTANCE / DISTANCE[0]))
    for allocation, averaged in (("uniform", False), ("optimal", True)):
        shape = noise_shape("joint", allocation, DISTANCE, release_of(np.zeros(4), averaged=averaged))
        assert shape.tolist() == [1.0] * 4


@settings(deadline=None, max_examples=150)
@given(requests(), st.sampled_from([0.01, 0.5, 1.0, 3.0, 20.0]))
def test_noise_for_an_epsilon_is_certified_at_that_epsilon(request_, epsilon):
    learning, release, claim = request_
    start = propagate(learning, disturbed=release.restored, quiet=0, bound=claim.bound).total
    if uncovered(claim.view, lambda: start, release):
        with pytest.raises(CertificateError, match="no noise reaches epsilon"):
            calibrate(learning, release, claim, epsilon)
        return
    sigma = calibrate(learning, release, claim, epsilon)
    assert np.all(np.isfinite(sigma))
    assert np.all(sigma >= 0)
    certificate = certify(learning, replace(release, sigma=sigma), claim)
    seen = np.array(certificate.sensitivity)
    if not seen.any():
        assert not sigma.any()
        assert certificate.epsilon == 0.0
        return
    kind, node = parse_view(claim.view)
    blind = kind == "node" and node is not None and release.placement == "output"
    assert certificate.reason is None
    assert certificate.epsilon <= epsilon
    if not (blind and mu_of_view(claim.view, seen, replace(release, sigma=np.ones(len(seen))), learning.mixing) == 0):
        assert certificate.epsilon == pytest.approx(epsilon, rel=1e-9)
    if claim.allocation == "optimal" and not release.averaged:
        assert not sigma[seen == 0].any()
    if claim.allocation == "uniform":
        assert np.unique(sigma).size == 1


@settings(deadline=None, max_examples=80)
@given(requests(), st.floats(-3, 2).map(lambda power: 10**power))
def test_the_noise_comes_back_from_the_epsilon_it_earned(request_, size):
    learning, release, claim = request_
    sigma = scaled_noise(learning, release, claim, size)
    assert sqrt(np.mean(sigma**2)) == pytest.approx(size)
    certificate = certify(learning, replace(release, sigma=sigma), claim)
    assume(certificate.epsilon is not None and 1e-3 < certificate.epsilon < 1e6)
    assert claimed_epsilon(learning, replace(release, sigma=sigma), claim) == certificate.epsilon
    again = calibrate(learning, release, claim, certificate.epsilon)
    np.testing.assert_allclose(again, sigma, rtol=1e-6)


@settings(deadline=None, max_examples=150)
@given(requests(), st.integers(0, 2**32 - 1), st.booleans())
def test_a_certificate_survives_its_record_and_holds_no_nan(request_, seed, bare):
    learning, release, claim = request_
    generator = np.random.default_rng(seed)
    sigma = 10 ** generator.uniform(-160, 160, learning.mixing.nodes)
    sigma = np.full_like(sigma, sigma[0]) if release.averaged else sigma * (generator.uniform(0, 1, len(sigma)) < 0.8)
    certificate = certify(learning, replace(release, sigma=0 * sigma if bare else sigma), claim)
    # allow_nan=False refuses NaN and infinity alike.
    written = json.dumps(certificate.to_record(), allow_nan=False)
    assert Certificate.from_record(json.loads(written)) == certificate
    assert (certificate.epsilon is None) == (certificate.reason is not None) == (certificate.mu is None)
    assert certificate.epsilon is None or certificate.epsilon >= 0
    assert certificate.rewound + certificate.restored == certificate.rounds


@pytest.mark.parametrize("bound", ["worst-case", "published"])
@pytest.mark.parametrize("sigma", [1e-12, 1e-300])
def test_noise_that_hides_nothing_gets_no_number(sigma, bound):
    release, claim = release_of(np.full(4, sigma)), Claim("node", DELTA, bound)
    certificate = certify(small_learning(), release, claim)
    assert (certificate.epsilon, certificate.mu) == (None, None)
    assert certificate.reason.startswith(f"node 0 carries too little noise (sigma {sigma:g}), and its model may still")
    assert claimed_epsilon(small_learning(), release, claim) is None


@pytest.mark.parametrize("view", ["node", "joint"])
def test_noise_is_shared_out_however_small_the_sensitivity(view):
    # Without a ledger nothing is charged for rounding, and contraction may leave very little.
    learning = small_learning(rounds=400, step_size=1.0, constants=derive("logistic", Constant(1e-3, "enforced"), 0.9))
    release, claim = release_of(np.zeros(4), restored=100, descended=300), Claim(view, DELTA, allocation="optimal")
    e = propagate(learning, disturbed=100, quiet=300).total
    assert 0 < e.max() < 1e-200
    sigma = scaled_noise(learning, release, claim, 0.1)
    assert sqrt(np.mean(sigma**2)) == pytest.approx(0.1)
    assert calibrate(learning, release, claim, 1.0).max() == pytest.approx(e.max() / mu_of(1.0, DELTA), rel=2)


@settings(deadline=None, max_examples=60)
@given(learnings())
def test_learning_survives_its_record(learning):
    again = Learning.from_record(json.loads(json.dumps(learning.to_record(), allow_nan=False)), learning.mixing)
    for bound in ("worst-case", "instance"):
        found = propagate(again, disturbed=again.rounds, quiet=2, bound=bound)
        expected = propagate(learning, disturbed=learning.rounds, quiet=2, bound=bound)
        assert found.total.tolist() == expected.total.tolist()
        assert found.rounding.tolist() == expected.rounding.tolist()
    assert again.to_record() == learning.to_record()


def test_messages_from_checkpoints_without_noise_are_not_covered():
    start = np.array([0.1, 0, 0, 0])
    reason = uncovered("transcript:all", lambda: start, release_of(np.ones(4)))
    assert reason.startswith("the messages of the unlearning rounds start from un-noised checkpoints")
    assert uncovered("transcript:all", lambda: start, release_of(np.ones(4), placement="rewind")) is None
    assert uncovered("transcript:all", lambda: start, release_of(np.ones(4), descended=0)) is None
    # Retraining from scratch: there is nothing in the messages.
    assert uncovered("transcript:all", lambda: 0 * start, release_of(np.ones(4), restored=0, descended=10)) is None
    assert uncovered("joint", lambda: start, release_of(np.ones(4))) is None
    certificate = certify(small_learning(), release_of(np.ones(4)), Claim("transcript:all", DELTA))
    assert (certificate.epsilon, certificate.mu, certificate.reason) == (None, None, reason)
    with pytest.raises(CertificateError, match="no noise reaches epsilon 1 for the view transcript:all: the messages"):
        calibrate(small_learning(), release_of(np.ones(4)), Claim("transcript:all", DELTA), 1.0)


def test_a_released_average_covers_no_other_view():
    averaged = release_of(np.ones(4), averaged=True)
    for view in ("node", "node:1", "joint"):
        certificate = certify(small_learning(), averaged, Claim(view, DELTA))
        assert certificate.epsilon is None
        assert certificate.reason.startswith("only the network average carries noise")
    found = certify(small_learning(), averaged, Claim("average", DELTA))
    mean = np.mean(found.sensitivity)
    assert found.epsilon == pytest.approx(epsilon_of(mean / 1.0, DELTA), rel=1e-12)


def test_retraining_is_certified_at_zero_and_doing_nothing_not_at_all():
    learning = small_learning()
    retrained = certify(learning, release_of(np.zeros(4), restored=0, descended=10), Claim("joint", DELTA))
    assert (retrained.epsilon, retrained.mu, set(retrained.sensitivity)) == (0.0, 0.0, {0.0})
    nothing = certify(learning, release_of(np.zeros(4), restored=10, descended=0), Claim("node", DELTA))
    assert nothing.epsilon is None
    assert "node 0 carries no noise" in nothing.reason


def test_the_published_bound_claims_by_its_papers_formula():
    learning, release = small_learning(), release_of(np.zeros(4))
    claim = Claim("node", DELTA, "published")
    sigma = calibrate(learning, release, claim, 0.5)
    e = max(propagate(learning, disturbed=5, quiet=5, bound="published").total)
    assert sigma == pytest.approx(np.full(4, e * sqrt(2 * np.log(1.25 / DELTA)) / 0.5))
    noised = replace(release, sigma=sigma)
    assert claimed_epsilon(learning, noised, claim) == pytest.approx(0.5)
    assert certify(learning, noised, claim).epsilon == pytest.approx(epsilon_of(e / sigma[0], DELTA))
    assert certify(learning, noised, claim).epsilon < textbook_epsilon(sigma[0] / e, DELTA)
    assert certify(learning, noised, claim).regime == "nonconvex"


def test_the_shallowest_rewind_that_reaches_epsilon_is_found():
    learning, claim = small_learning(), Claim("node", DELTA)

    def at(depth, size=0.4):
        return Release("r2d", 10 - depth, depth, "output", np.full(4, size))

    certified = [certify(learning, at(depth), claim).epsilon for depth in range(11)]
    for epsilon in (0.1, 1.0, 2.0):
        reaching = [depth for depth in range(11) if certified[depth] <= epsilon]
        assert least_depth(learning, range(11), at, claim, epsilon) == reaching[0]
    with pytest.raises(CertificateError, match=r"no depth from 0 to 5 rounds reaches epsilon 0.001 .*the best reaches"):
        least_depth(learning, range(6), at, claim, 0.001)
    with pytest.raises(CertificateError, match=r"no depth from 0 to 5 .*none gets a number"):
        least_depth(learning, range(6), lambda depth: at(depth, 0.0), claim, 1.0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"placement": "middle"}, "unknown placement 'middle'; it is one of: output, rewind"),
        ({"sigma": np.ones(3)}, "sigma must have one entry for each of 4 nodes"),
        ({"sigma": np.array([1, nan, 1, 1])}, "sigma must be finite and non-negative at every node"),
        ({"sigma": np.array([1, -1, 1, 1])}, "sigma must be finite and non-negative at every node"),
        ({"averaged": True, "placement": "rewind"}, "a released average carries one noise vector"),
        ({"averaged": True, "sigma": np.array([1.0, 2, 1, 1])}, "a released average carries one noise vector"),
        ({"settle": -1}, "settle is a number of rounds, not -1"),
        ({"averaged": True, "settle": 1}, "with placement output and no settling"),
        ({"restored": 11}, "learning has 10 rounds; 11 disturbed and 5 quiet do not fit"),
        ({"restored": -1}, "restored is a number of rounds, not -1"),
        ({"descended": -1}, "descended is a number of rounds, not -1"),
    ],
)
def test_a_release_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(CertificateError, match=sentence):
        certify(small_learning(), replace(release_of(np.ones(4)), **changes), Claim("node", DELTA))


@pytest.mark.parametrize(
    "view", ["", "nodes", "node:", "node:-1", "node:x", "node:1.0", "transcript", "all", "joint:1"]
)
def test_a_view_that_does_not_exist_is_refused(view):
    with pytest.raises(
        CertificateError, match=r"unknown view .*it is one of: node, node:v, joint, average, transcript:all"
    ):
        Claim(view, DELTA)


def test_claims_are_refused_with_what_is_allowed():
    with pytest.raises(CertificateError, match="view 'node:4' names a node that does not exist; nodes are 0 to 3"):
        certify(small_learning(), release_of(np.ones(4)), Claim("node:4", DELTA))
    with pytest.raises(CertificateError, match="unknown bound 'best'; it is one of: published, worst-case, instance"):
        Claim("node", DELTA, bound="best")
    with pytest.raises(CertificateError, match="unknown allocation 'fair'; it is one of: uniform, optimal"):
        Claim("node", DELTA, allocation="fair")
    for delta in (0.0, 1.0, nan):
        with pytest.raises(CertificateError, match="delta must lie strictly between 0 and 1"):
            certify(small_learning(), release_of(np.ones(4)), Claim("node", delta))
    with pytest.raises(CertificateError, match="does not prove the regime 'weakly-convex'"):
        certify(small_learning(), release_of(np.ones(4)), Claim("node", DELTA, regime="weakly-convex"))
    with pytest.raises(CertificateError, match="an instance bound needs the ledger"):
        certify(small_learning(), release_of(np.ones(4)), Claim("node", DELTA, bound="instance"))
    for sigma in (-1.0, nan, inf):
        with pytest.raises(CertificateError, match="sigma must be a non-negative number"):
            scaled_noise(small_learning(), release_of(np.ones(4)), Claim("node", DELTA), sigma)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"order": "combine"}, "unknown order 'combine'; it is one of: adapt-then-combine, "),
        ({"rounds": 0}, "learning takes at least one round of at least one local step"),
        ({"local_steps": 0}, "learning takes at least one round of at least one local step"),
        ({"step_size": 0.0}, "step_size must be a positive number, not 0.0"),
        ({"step_size": nan}, "step_size must be a positive number, not nan"),
        ({"samples": np.ones(4)}, "samples and deleted are whole numbers, one a node"),
        ({"deleted": np.full(4, 0.5)}, "samples and deleted are whole numbers, one a node"),
        ({"samples": np.ones(3, dtype=int)}, "samples and deleted must have one entry for each of 4 nodes"),
        ({"deleted": np.array([0, 21, 0, 0])}, "node 1 has 20 samples, so 21 of them cannot be deleted"),
        ({"deleted": np.array([0, 0, -1, 0])}, "node 2 has 20 samples, so -1 of them cannot be deleted"),
    ],
)
def test_learning_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(CertificateError, match=sentence):
        small_learning(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nodes": (1,)}, "the ledger's disturbances are not those of the nodes whose samples are deleted"),
        ({"disturbance": np.ones((9, 1, 1))}, r"the shape \(9, 1, 1\), not \[rounds, local steps, nodes\]"),
        ({"disturbance": np.full((10, 1, 1), nan)}, "a disturbance that is not a non-negative number"),
        ({"disturbance": -np.ones((10, 1, 1))}, "a disturbance that is not a non-negative number"),
        ({"nodes": (0, 0), "disturbance": np.ones((10, 1, 2))}, "the ledger names a node twice"),
    ],
)
def test_a_ledger_that_cannot_be_is_refused(changes, sentence):
    def certified():
        kept = replace(ledger(np.random.default_rng(0), 10, 1, [0], 1.0), **changes)
        return propagate(small_learning(ledger=kept), disturbed=5, quiet=5, bound="instance")

    with pytest.raises(CertificateError, match=sentence):
        certified()


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("rounds"),
        lambda record: record.pop("ledger"),
        lambda record: record.update(step_size="fast"),
        lambda record: record.update(samples=["many"] * 4),
        lambda record: record.update(constants=None),
        lambda record: record["ledger"].pop("disturbance"),
    ],
)
def test_a_damaged_record_of_learning_is_refused(damage):
    learning = small_learning(ledger=ledger(np.random.default_rng(0), 10, 1, [0], 1.0))
    record = learning.to_record()
    damage(record)
    with pytest.raises(CertificateError, match=r"the record of (learning|the constants) is damaged"):
        Learning.from_record(record, learning.mixing)


class Weights:
    """A network whose matrix nobody has checked."""

    nodes = 4

    def __init__(self, W):
        self.W = csr_array(np.array(W, dtype=float))

    def matrix(self, round):
        return self.W


@pytest.mark.parametrize(
    ("W", "sentence"),
    [
        (np.zeros((4, 4)), "is 1 away from summing to 1"),
        (np.eye(4) * 0.01, "is 0.99 away from summing to 1"),
        ([[1, 0, 0, 0], [-1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "a weight that is negative or no number"),
        (np.full((4, 4), nan), "a weight that is negative or no number"),
        (np.eye(3), r"the shape \(3, 3\), not \(4, 4\)"),
    ],
)
def test_a_matrix_that_does_not_mix_is_refused(W, sentence):
    with pytest.raises(CertificateError, match=sentence):
        certify(small_learning(mixing=Weights(W)), release_of(np.ones(4)), Claim("node", DELTA))


@pytest.mark.parametrize("changes", [{"G": -1.0}, {"L": nan}, {"radius": 0.0}, {"l2": -0.5}, {"strong_convexity": 9.0}])
def test_constants_that_no_objective_has_are_refused(changes):
    constants = derive("logistic", Constant(1.0, "proven"), 0.1)
    with pytest.raises(CertificateError, match="no objective has the constants"):
        replace(constants, **{name: Constant(value, "proven") for name, value in changes.items()})


def test_noise_that_the_arithmetic_rounds_away_earns_no_number():
    learning = small_learning(arithmetic=Arithmetic(2.0**-24, 5, 3, 0.0))
    tiny = certify(learning, release_of(np.full(4, 1e-5)), Claim("node", DELTA))
    assert tiny.epsilon is None
    assert "too small for the arithmetic to carry" in tiny.reason
    assert certify(learning, release_of(np.full(4, 100.0)), Claim("node", DELTA)).epsilon is not None


def test_what_was_reached_is_never_taken_for_untouched():
    path = topologies.build("path", 600, 0)
    far = small_learning(
        mixing=topologies.Static(path, topologies.mix("metropolis-hastings", path)),
        rounds=599,
        samples=np.full(600, 20),
        deleted=np.eye(600, dtype=np.int64)[0],
        step_size=0.5,
    )
    e = propagate(far, disturbed=599, quiet=0).total
    assert np.all(e > 0)


def test_a_damaged_certificate_is_refused():
    record = certify(small_learning(), release_of(np.ones(4)), Claim("node", DELTA)).to_record()
    with pytest.raises(CertificateError, match=r"damaged; fields missing or unknown: sigma$"):
        Certificate.from_record({name: value for name, value in record.items() if name != "sigma"})
    with pytest.raises(CertificateError, match=r"damaged; fields missing or unknown: extra$"):
        Certificate.from_record({**record, "extra": 1})


@pytest.mark.parametrize("regime", ["nonconvex", "convex"])
def test_a_step_beyond_every_finite_certificate_names_its_limit(regime):
    with pytest.raises(CertificateError) as problem:
        propagate(small_learning(rounds=1000, step_size=1e3), disturbed=1000, quiet=0, regime=regime)
    assert "step_size 1000 allows no finite certificate" in str(problem.value)
    assert ("2/L = 3.92157" in str(problem.value)) == (regime == "convex")


def test_the_published_bound_names_the_step_it_allows():
    with pytest.raises(
        CertificateError, match=r"step_size 2 is beyond what the published bound allows: at most .* = 1\.30"
    ):
        propagate(small_learning(step_size=2.0), disturbed=5, quiet=5, bound="published")
    with pytest.raises(CertificateError, match="does not cover a client that deletes everything; use worst-case"):
        propagate(small_learning(deleted=np.array([20, 0, 0, 0])), disturbed=5, quiet=5, bound="published")


def test_what_is_assumed_is_said():
    learning = small_learning()
    said = certify(learning, release_of(np.ones(4)), Claim("node", DELTA))
    assert any(sentence.startswith("Simulation only") for sentence in said.assumptions)
    assert any("nothing is charged for rounding" in sentence for sentence in said.assumptions)
    fresh = certify(learning, release_of(np.ones(4), noise_source="os"), Claim("node", DELTA))
    assert not any(sentence.startswith("Simulation only") for sentence in fresh.assumptions)
    assert not said.conditional
    declared = small_learning(constants=derive("logistic", Constant(1.0, "declared"), 0.01))
    assert certify(declared, release_of(np.ones(4)), Claim("node", DELTA)).conditional
    assert isfinite(said.epsilon)
    assert said.mu == pytest.approx(max(said.sensitivity))
    assert epsilon_of(said.mu, DELTA) == said.epsilon
    assert mu_of(said.epsilon, DELTA) == pytest.approx(said.mu)
