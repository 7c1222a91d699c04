"""Views against direct formulas and brute force."""

from dataclasses import replace
from math import inf, sqrt

import numpy as np
import pytest
from drawn import examples
from hypothesis import assume, given
from hypothesis import strategies as st
from learnings import DELTA, network, release_of, small_learning

from rewindnet import topologies
from rewindnet.certificates import (
    CertificateError,
    Claim,
    Constant,
    Release,
    calibrate,
    certify,
    derive,
    epsilon_of,
    gossip_product,
    mu_of,
    mu_of_view,
    propagate,
    scaled_noise,
)
from rewindnet.certificates.view import View
from rewindnet.certificates.views.allocation import noise_shape
from rewindnet.certificates.views.light_cones import light_cone
from rewindnet.certificates.views.mu import why_not_covered

MIXING = small_learning().mixing


DISTANCE = np.array([0.4, 0.3, 0.0, 0.1])


SIGMA = np.array([2.0, 0.5, 1.0, 0.25])


def test_the_views_of_a_release_with_noise_on_the_result():
    release = release_of(SIGMA)
    ratios = DISTANCE / SIGMA
    for node in range(4):
        assert mu_of_view(View.of(f"node:{node}"), DISTANCE, release, MIXING) == pytest.approx(ratios[node])
    assert mu_of_view(View.of("node"), DISTANCE, release, MIXING) == pytest.approx(ratios.max())
    together = sqrt((ratios**2).sum())
    for view in ("joint", "transcript:all", "average"):
        assert mu_of_view(View.of(view), DISTANCE, release, MIXING) == pytest.approx(together)
    averaged = release_of([0.5] * 4, averaged=True)
    assert mu_of_view(View.of("average"), DISTANCE, averaged, MIXING) == pytest.approx(DISTANCE.mean() / 0.5)


@pytest.mark.parametrize("view", ["joint", "average", "transcript:all"])
@pytest.mark.parametrize("settle", [0, 3])
def test_views_of_the_whole_network_inherit_the_transcript(view, settle):
    release = release_of(SIGMA, placement="rewind", gossip_rounds=settle)
    expected = np.linalg.norm(DISTANCE / SIGMA)
    assert mu_of_view(View.of(view), DISTANCE, release, MIXING) == pytest.approx(expected)


@pytest.mark.parametrize(("rounds", "settle"), [(0, 0), (1, 0), (1, 1), (2, 0), (3, 2)])
def test_one_released_model_is_made_of_the_noised_checkpoints_in_its_light_cone(rounds, settle):
    # It used to be charged for the whole network; but rounds that read retained data only are post-processing of what
    # the node has received.
    release = release_of(
        SIGMA, placement="rewind", checkpoint_round=10 - rounds, descent_rounds=rounds, gossip_rounds=settle
    )
    reach = rounds + settle
    expected = [np.linalg.norm((DISTANCE / SIGMA)[max(0, node - reach) : node + reach + 1]) for node in range(4)]
    for view in ("node", "transcript"):
        found = [mu_of_view(View.of(f"{view}:{node}"), DISTANCE, release, MIXING) for node in range(4)]
        assert found == pytest.approx(expected)
        assert mu_of_view(View.of(view), DISTANCE, release, MIXING) == pytest.approx(max(expected))


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 5))
def test_a_settled_node_sees_the_gaussian_that_gossip_makes(seed, nodes, settle):
    generator = np.random.default_rng(seed)
    mixing = network(seed, nodes)
    W = mixing.weights.toarray()
    P = np.linalg.matrix_power(W, settle)
    distance = generator.uniform(0, 1, nodes) * (generator.uniform(0, 1, nodes) < 0.7)
    sigma = generator.uniform(0.1, 2, nodes)
    release = Release("r2d", 3, 4, "output", sigma, gossip_rounds=settle)
    np.testing.assert_allclose(gossip_product(release, mixing).toarray(), P, atol=1e-12)
    covariance = P @ np.diag(sigma**2) @ P.T
    for node in range(nodes):
        # The furthest that node's centre can move where every node moves by at most its distance.
        furthest = np.abs(P[node]) @ distance
        found = mu_of_view(View.of(f"node:{node}"), distance, release, mixing)
        assert found == pytest.approx(furthest / sqrt(covariance[node, node]), rel=1e-9)
        # Brute force: no movement of the centres in one dimension, at any of its corners, is told apart better.
        for signs in generator.choice([-1.0, 1.0], (20, nodes)):
            shift = abs(float(P[node] @ (signs * distance)))
            assert shift / sqrt(covariance[node, node]) <= found * (1 + 1e-9)
        # Seeing one settled node is post-processing of seeing all of them.
        assert found <= mu_of_view(View.of("joint"), distance, release, mixing) * (1 + 1e-9)


@examples(40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(0, 3))
def test_all_settled_models_together_tell_no_more_than_the_noised_ones(seed, nodes, settle):
    generator = np.random.default_rng(seed)
    mixing = network(seed, nodes)
    P = np.linalg.matrix_power(mixing.weights.toarray(), settle)
    distance, sigma = generator.uniform(0, 1, nodes), generator.uniform(0.1, 2, nodes)
    joint = mu_of_view(View.of("joint"), distance, Release("r2d", 0, 1, "output", sigma, gossip_rounds=settle), mixing)
    for signs in generator.choice([-1.0, 1.0], (10, nodes)):
        shift = P @ (signs * distance)
        covariance = P @ np.diag(sigma**2) @ P.T
        exact = sqrt(max(0.0, shift @ np.linalg.pinv(covariance, rcond=1e-10) @ shift))
        assert exact <= joint * (1 + 1e-5)


def test_a_large_network_settles_within_the_joint_view(monkeypatch):
    release = release_of(SIGMA, gossip_rounds=2)
    exact = [mu_of_view(View.of(f"node:{node}"), DISTANCE, release, MIXING) for node in range(4)]
    monkeypatch.setattr("rewindnet.certificates.views.mu._LARGEST_SETTLED", 3)
    bounded = [mu_of_view(View.of(f"node:{node}"), DISTANCE, release, MIXING) for node in range(4)]
    assert bounded == pytest.approx([mu_of_view(View.of("joint"), DISTANCE, release, MIXING)] * 4)
    assert all(one <= other for one, other in zip(exact, bounded, strict=True))


def test_a_node_that_may_differ_without_noise_can_be_told_apart_for_certain():
    bare = release_of([1.0, 0.0, 0.0, 1.0])
    assert mu_of_view(View.of("node:1"), DISTANCE, bare, MIXING) == inf
    assert mu_of_view(View.of("node:2"), DISTANCE, bare, MIXING) == 0.0
    assert mu_of_view(View.of("joint"), DISTANCE, bare, MIXING) == inf
    certificate = certify(small_learning(), release_of(np.zeros(4)), Claim("node", DELTA))
    assert (certificate.epsilon, certificate.mu) == (None, None)
    assert certificate.reason.startswith("node 0 carries no noise, and its model may still differ")


@examples(80)
@given(st.integers(0, 2**32 - 1), st.integers(2, 10))
def test_no_other_noise_meets_a_joint_view_with_less_in_all(seed, nodes):
    generator = np.random.default_rng(seed)
    e = generator.exponential(1, nodes) * (generator.uniform(0, 1, nodes) < 0.8)
    assume(e.any())
    release, mixing = Release("r2d", 1, 1, "output", np.zeros(nodes)), network(seed, nodes)

    def reaching_one(shape):
        return shape * mu_of_view(View.of("joint"), e, replace(release, sigma=shape), mixing)

    optimal = reaching_one(noise_shape(View.of("joint"), "optimal", e, release, mixing))
    assert mu_of_view(View.of("joint"), e, replace(release, sigma=optimal), mixing) == pytest.approx(1.0)
    assert (optimal[e == 0] == 0).all()
    assert (optimal**2).sum() == pytest.approx(e.sum() ** 2)
    for spread in (0.01, 0.3, 2.0):
        other = reaching_one(optimal * np.exp(spread * generator.standard_normal(nodes)))
        assert (other**2).sum() >= (optimal**2).sum() * (1 - 1e-12)
    uniform = reaching_one(noise_shape(View.of("joint"), "uniform", e, release, mixing))
    assert (uniform**2).sum() >= (optimal**2).sum() * (1 - 1e-12)
    assert (uniform**2).sum() == pytest.approx(nodes * (e**2).sum())


def test_a_single_nodes_view_takes_noise_in_proportion():
    release = release_of(np.zeros(4))
    for view in ("node", "node:3"):
        shape = noise_shape(View.of(view), "optimal", DISTANCE, release, MIXING)
        np.testing.assert_allclose(shape / shape[0], DISTANCE / DISTANCE[0])
    early = noise_shape(View.of("node"), "optimal", DISTANCE, release_of(np.zeros(4), placement="rewind"), MIXING)
    np.testing.assert_allclose(early / early[0], np.sqrt(DISTANCE / DISTANCE[0]))
    for allocation, averaged in (("uniform", False), ("optimal", True)):
        shape = noise_shape(View.of("joint"), allocation, DISTANCE, release_of(np.zeros(4), averaged=averaged), MIXING)
        assert shape.tolist() == [1.0] * 4


@pytest.mark.parametrize("view", ["node", "joint"])
def test_noise_is_shared_out_however_small_the_sensitivity(view):
    # Without a ledger nothing is charged for rounding, and contraction may leave very little.
    learning = small_learning(
        rounds=400, step_size=1.0, constants=derive("logistic", Constant(1e-3, "enforced"), l2=0.9)
    )
    release, claim = (
        release_of(np.zeros(4), checkpoint_round=100, descent_rounds=300),
        Claim(view, DELTA, allocation="optimal"),
    )
    e = propagate(learning, disturbed=100, undisturbed=300).total
    assert 0 < e.max() < 1e-200
    sigma = scaled_noise(learning, release, claim, 0.1)
    assert sqrt(np.mean(sigma**2)) == pytest.approx(0.1)
    assert calibrate(learning, release, claim, 1.0).max() == pytest.approx(e.max() / mu_of(1.0, DELTA), rel=2)


def test_messages_from_checkpoints_without_noise_are_not_covered():
    start = np.array([0.1, 0, 0, 0])
    reason = why_not_covered(View.of("transcript:all"), lambda: start, release_of(np.ones(4)), MIXING)
    assert reason.startswith("the messages of the unlearning rounds start from un-noised checkpoints")
    assert (
        why_not_covered(View.of("transcript:all"), lambda: start, release_of(np.ones(4), placement="rewind"), MIXING)
        is None
    )
    assert (
        why_not_covered(View.of("transcript:all"), lambda: start, release_of(np.ones(4), descent_rounds=0), MIXING)
        is None
    )
    # Retraining from scratch: there is nothing in the messages.
    assert (
        why_not_covered(
            View.of("transcript:all"),
            lambda: 0 * start,
            release_of(np.ones(4), checkpoint_round=0, descent_rounds=10),
            MIXING,
        )
        is None
    )
    assert why_not_covered(View.of("joint"), lambda: start, release_of(np.ones(4)), MIXING) is None
    for view in ("transcript:all", "transcript"):
        certificate = certify(small_learning(), release_of(np.ones(4)), Claim(view, DELTA))
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


@pytest.mark.parametrize("kind", ["static", "link-failures", "matchings"])
@given(seed=st.integers(0, 1000), nodes=st.integers(3, 9), node=st.integers(0, 2), rounds=st.integers(0, 6))
@examples(25)
def test_the_light_cone_is_whoever_changes_what_the_node_receives(kind, seed, nodes, node, rounds):
    graph = topologies.build("erdos-renyi", nodes, seed, p=0.5)
    mixing = topologies.schedule(kind, graph, topologies.mix("metropolis-hastings", graph), seed)
    first = seed % 3
    seen = light_cone(node, first, rounds, mixing)
    for other in range(nodes):
        # One node's vector is changed, and everything that the node has or receives is watched.
        state = np.zeros(nodes)
        state[other] = 1.0
        noticed = state[node] != 0
        for t in range(first, first + rounds):
            W = mixing.matrix(t).toarray()
            noticed |= bool(np.any(state[W[node] != 0] != 0))
            state = W @ state
        assert seen[other] == noticed


def test_one_peers_transcript_is_weighed_over_its_light_cone():
    release = release_of([2.0, 1.0, 0.5, 4.0], placement="rewind", checkpoint_round=9, descent_rounds=1)
    reached = (DISTANCE / release.sigma)[:2]
    assert mu_of_view(View.of("transcript:0"), DISTANCE, release, MIXING) == pytest.approx(np.hypot(*reached))
    longer = release_of(release.sigma, placement="rewind", checkpoint_round=5, descent_rounds=5)
    everything = mu_of_view(View.of("transcript:all"), DISTANCE, longer, MIXING)
    assert mu_of_view(View.of("transcript:0"), DISTANCE, longer, MIXING) == pytest.approx(everything)
    shape = noise_shape(View.of("transcript:0"), "optimal", DISTANCE, release, MIXING)
    assert np.all(shape[2:] == 0)
    assert np.all(shape[:2] > 0)


def test_one_peers_transcript_gets_no_number_for_un_noised_messages_that_reach_it():
    start = np.array([0.0, 0.0, 0.0, 1.0])
    near, far = (release_of(np.ones(4), checkpoint_round=10 - rounds, descent_rounds=rounds) for rounds in (3, 2))
    assert "un-noised" in (why_not_covered(View.of("transcript:0"), lambda: start, near, MIXING) or "")
    assert why_not_covered(View.of("transcript:0"), lambda: start, far, MIXING) is None
