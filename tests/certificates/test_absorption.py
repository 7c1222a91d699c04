"""Noise that absorbs travelling differences, against exact Gaussians of networks that respond in every allowed way."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaincinv, ndtri

from rewindnet import topologies
from rewindnet.certificates.mechanisms.absorption import NetworkRounds, final_messages, least_mu, received_messages
from rewindnet.certificates.mechanisms.linear_view import is_affordable, linear_mu, released_weights
from rewindnet.certificates.mechanisms.linear_view import received_weights as heard_from_others
from rewindnet.certificates.views.light_cones import light_cone, light_cones_backwards

PATH = topologies.mix("metropolis-hastings", nx.path_graph(3))
SCHEDULES = ("static", "link-failures", "node-sleep", "matchings", "asynchronous", "walk")


def network(kind, seed, nodes):
    graph = nx.compose(nx.random_labeled_tree(nodes, seed=seed), nx.gnp_random_graph(nodes, 0.2, seed=seed))
    weights = topologies.mix("metropolis-hastings", graph)
    if kind == "walk":
        return topologies.Walk(graph, weights, seed, rule="uniform", restart=0.1)
    return topologies.schedule(kind, graph, weights, seed, **({"probability": 0.4} if kind == "node-sleep" else {}))


def complete(nodes):
    graph = nx.complete_graph(nodes)
    return topologies.Static(graph, topologies.mix("uniform", graph))


def participating(mixing, t):
    there = mixing.participating(t)
    return np.ones(mixing.nodes, dtype=bool) if there is None else there


def travel(mixing, rounds, growth=1.0, sigma=1.0, charge=0.0):
    return NetworkRounds(rounds, growth, charge, np.full(mixing.nodes, sigma), mixing)


def plain(b, sigma=1.0):
    return np.sqrt((b**2).sum()) / sigma


class Responding:
    """A network of scalars whose node i steps by θ ↦ factor·θ − shift − noise: all of it linear, so exactly Gaussian.

    Attributes:
        noise, shift: what noise (t, i), and what the shifts together, weigh in message (t, i): [T, N, T·N], [T, N].
        models, moved: the same for the last models: [N, T·N], [N].
    """

    def __init__(self, mixing, factors, shifts):
        T, N = shifts.shape
        x, m = np.zeros((N, T * N)), np.zeros(N)
        self.noise, self.shift = np.zeros((T, N, T * N)), np.zeros((T, N))
        for t in range(T):
            there = participating(mixing, t)
            for i in np.flatnonzero(there):
                x[i] *= factors[t, i]
                x[i, t * N + i] -= 1
                m[i] = factors[t, i] * m[i] - shifts[t, i]
            self.noise[t], self.shift[t] = x, m
            W = mixing.matrix(t).toarray()
            x, m = W @ x, W @ m
        self.models, self.moved = x, m

    @staticmethod
    def apart(A, m):
        """μ of the Gaussian with covariance AAᵀ under a shift m in its range."""
        if not np.abs(m).max(initial=0.0) > 0:
            return 0.0
        return float(np.sqrt(max(m @ np.linalg.pinv(A @ A.T, rcond=1e-13, hermitian=True) @ m, 0.0)))

    def messages(self, shown):
        return self.apart(self.noise[shown], self.shift[shown])

    def last(self, nodes):
        return self.apart(self.models[nodes], self.moved[nodes])


def sampled(mixing, step, shift, rounds, draws, generator):
    """Last models [draws, N] of a network of scalars that steps by θ ↦ step(θ) − shift(θ) − noise, node by node."""
    theta = np.zeros((draws, mixing.nodes))
    for t in range(rounds):
        noised = step(theta) + generator.standard_normal(theta.shape)
        noised[:, 0] -= shift(theta[:, 0])
        theta = noised @ mixing.matrix(t).toarray().T
    return theta


def told_apart(one, other, confidence=1e-4):
    """A lower bound on μ from samples of one number on either side, by the best of some thresholds."""
    best, draws = 0.0, len(one)
    level = confidence / 40
    for threshold in np.quantile(one, np.linspace(0.05, 0.95, 20)):
        true, false = int((one > threshold).sum()), int((other > threshold).sum())
        low, high = betaincinv(true, draws - true + 1, level), betaincinv(false + 1, draws - false, 1 - level)
        best = max(best, ndtri(low) - ndtri(high))
    return best


@pytest.mark.parametrize("step", [np.abs, np.sin, lambda theta: np.maximum(theta, 0.0)], ids=["fold", "sine", "ramp"])
def test_samples_of_networks_that_respond_nonlinearly_tell_no_more(step):
    mixing, T, generator = topologies.Static(nx.path_graph(3), PATH), 5, np.random.default_rng(3)
    b, how = b_of(mixing, T, [0], 1.0), travel(mixing, T)
    with_it = sampled(mixing, step, lambda theta: np.where(theta > -0.3, -1.0, -0.8), T, 100_000, generator)
    without = sampled(mixing, step, lambda theta: 0.0, T, 100_000, generator)
    for v in range(3):
        bound = least_mu(b, final_messages(how, [v]), how, 1.0)
        found = told_apart(with_it[:, v], without[:, v])
        assert found <= bound < plain(b)
        assert found > 0.15 * bound


def b_of(mixing, rounds, deleting, size):
    """Disturbances [T, N] of those who delete, while they are awake."""
    b = np.zeros((rounds, mixing.nodes))
    for t in range(rounds):
        b[t, deleting] = size * participating(mixing, t)[deleting]
    return b


@examples(25)
@given(st.sampled_from(SCHEDULES), st.integers(0, 2**31), st.sampled_from([0.8, 1.0, 1.3]), st.booleans())
def test_no_response_tells_more_than_is_certified(kind, seed, growth, extreme):
    generator = np.random.default_rng(seed)
    N, T = int(generator.integers(2, 7)), int(generator.integers(1, 8))
    mixing, sigma = network(kind, seed, N), float(generator.uniform(0.5, 3))
    b = b_of(mixing, T, generator.integers(0, N, 2), generator.uniform(0.1, 2))
    factors, shifts = generator.uniform(-growth, growth, (T, N)), b * generator.uniform(-1, 1, (T, N))
    if extreme:
        factors, shifts = growth * np.sign(factors), b * np.where(generator.random((T, N)) < 0.8, 1.0, -1.0)
    truth, how = Responding(mixing, factors, shifts), travel(mixing, T, growth, sigma)
    for v in range(N):
        assert truth.last([v]) / sigma <= least_mu(b, final_messages(how, [v]), how, 4.0) * (1 + 1e-6)
        shown = received_messages(how, v)
        assert truth.messages(shown) / sigma <= least_mu(b, shown, how, 4.0) * (1 + 1e-6)
    assert truth.last(list(range(N))) / sigma <= least_mu(b, final_messages(how, range(N)), how, 4.0) * (1 + 1e-6)


@examples(15)
@given(st.sampled_from(SCHEDULES), st.integers(0, 2**31), st.sampled_from([0.9, 1.0, 1.5]))
def test_it_is_never_more_than_what_the_light_cone_composes_to(kind, seed, growth):
    mixing, T = network(kind, seed, 8), 6
    b, how = b_of(mixing, T, [0, 3], 0.7), travel(mixing, T, growth)
    for v in range(8):
        cone = np.stack([light_cone(v, t, T - t, mixing) for t in range(T)])
        assert least_mu(b, final_messages(how, [v]), how, 2.0) <= plain(b * cone) * (1 + 1e-9)
        assert least_mu(b, received_messages(how, v), how, 2.0) <= plain(b * cone) * (1 + 1e-9)
    everything = np.ones((T, 8), dtype=bool)
    assert least_mu(b, everything, how, 2.0) == pytest.approx(plain(b))


@examples(15)
@given(st.sampled_from(SCHEDULES), st.integers(0, 2**31), st.sampled_from([0.9, 1.0, 1.2]))
def test_smaller_disturbances_never_cost_more(kind, seed, growth):
    generator, mixing, T = np.random.default_rng(seed), network(kind, seed, 7), 9
    b, how = b_of(mixing, T, [1], 1.0), travel(mixing, T, growth, charge=1e-3)
    less = b * generator.random(b.shape)
    for shown in (final_messages(how, range(7)), final_messages(how, [2]), received_messages(how, 2)):
        assert least_mu(less, shown, how, 2.0) <= least_mu(b, shown, how, 2.0) * (1 + 1e-12)


def test_a_complete_network_hides_a_round_as_well_as_its_nodes_together():
    # One round's disturbance b is a share b/N of every model in the next, and N noises absorb it: b²/N in all.
    for N in (4, 25):
        mixing, T = complete(N), 400
        how, b = travel(mixing, T), b_of(mixing, T, [0], 1.0)
        mu = least_mu(b, final_messages(how, range(N)), how, 2.0)
        exact = linear_mu(released_weights(T, mixing), b, np.ones_like(b))
        assert exact == pytest.approx(np.sqrt(T / N), rel=0.03)
        assert exact <= mu <= 1.35 * exact + 0.5
        assert mu < 0.8 * plain(b)


def test_a_single_node_has_only_its_own_noise():
    mixing = complete(1)
    how, b = travel(mixing, 9, sigma=2.0), b_of(mixing, 9, [0], 0.5)
    # Convex, without contraction: nine disturbances of 1/2 under noise 2.
    assert least_mu(b, final_messages(how, [0]), how, 0.5) == pytest.approx(3 * 0.5 / 2)
    # Where steps contract the last ones count: (Σ γ^k·b)²/Σ γ^2k·σ², what linear steps come to.
    shrinking, weights = replace(how, growth=0.5), 0.5 ** np.arange(9)
    exact = 0.5 * weights.sum() / (2 * np.sqrt((weights**2).sum()))
    assert exact <= least_mu(b, final_messages(shrinking, [0]), shrinking, 0.5) <= 1.15 * exact


def test_what_carries_no_noise_hides_nothing():
    mixing = complete(3)
    how, b = travel(mixing, 4, sigma=0.0), b_of(mixing, 4, [0], 1.0)
    assert least_mu(b, final_messages(how, [1]), how, 2.0) == np.inf
    assert least_mu(np.zeros_like(b), final_messages(how, [1]), how, 2.0) == 0.0


def test_a_large_network_is_quick_to_account_for():
    graph = nx.random_regular_graph(6, 1000, seed=1)
    mixing = topologies.Static(graph, topologies.mix("metropolis-hastings", graph))
    how, b = travel(mixing, 200), b_of(mixing, 200, [0], 1.0)
    assert least_mu(b, final_messages(how, range(1000)), how, 2.0) < 0.15 * plain(b)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_cones_looking_back_are_the_cones(kind):
    mixing, T = network(kind, 5, 9), 7
    found = dict(light_cones_backwards(0, T, mixing))
    for t in range(T):
        for v in range(9):
            assert np.array_equal(found[t].within(np.arange(9))[:, v], light_cone(v, t, T - t, mixing))


# -- linear accounting ---------------------------------------------------------------------------------------------


def by_basis_vectors(mixing, rounds, node):
    """What a node hears from others, one noise at a time, by running the network on it."""
    N, columns = mixing.nodes, []
    for k in range(rounds * N):
        theta, heard = np.zeros(N), []
        for t in range(rounds):
            theta = theta - (np.arange(N) == k - t * N)
            W = mixing.matrix(t).toarray()
            heard += [theta[j] for j in range(N) if j != node and W[node, j] != 0]
            theta = W @ theta
        columns.append(np.array(heard) * (k % N != node))
    return np.array(columns).T


@examples(15)
@given(st.sampled_from(SCHEDULES), st.integers(0, 2**31))
def test_linear_accounting_is_the_covariance_of_the_view(kind, seed):
    generator, mixing, T = np.random.default_rng(seed), network(kind, seed, 5), 4
    v, u = (int(i) for i in generator.permutation(5)[:2])
    b, noise = b_of(mixing, T, [u], 0.7), 1.5 * np.stack([participating(mixing, t) for t in range(T)])
    A = by_basis_vectors(mixing, T, v)
    assert heard_from_others(v, T, mixing) == pytest.approx(A)
    covariance = (A * noise.ravel()) @ (A * noise.ravel()).T
    shift = A @ b.ravel()
    expected = np.sqrt(max(shift @ np.linalg.pinv(covariance, rcond=1e-11, hermitian=True) @ shift, 0.0))
    found = linear_mu(heard_from_others(v, T, mixing), b, noise)
    assert found == pytest.approx(expected, abs=1e-9)
    how = travel(mixing, T, sigma=1.5)
    assert found <= least_mu(b, received_messages(how, v), how, 2.0) * (1 + 1e-9) <= plain(b, 1.5) * (1 + 2e-9)
    models = Responding(mixing, np.ones((T, 5)), b)
    assert linear_mu(released_weights(T, mixing), b, noise) == pytest.approx(
        models.last(list(range(5))) / 1.5, abs=1e-9
    )


def test_on_a_complete_graph_a_peer_hears_every_noised_gradient():
    mixing, T = complete(5), 6
    b, noise = b_of(mixing, T, [0, 3], 0.7), np.full((T, 5), 1.5)
    for peer in (1, 2, 4):
        assert linear_mu(heard_from_others(peer, T, mixing), b, noise) == pytest.approx(plain(b, 1.5), abs=1e-9)


def test_messages_do_not_add_up_as_if_they_were_independent():
    # Noisy inputs, then gossip alone: each message's own shift over its own deviation, squared and added up, is how
    # the privacy loss is published. The far end of a path can undo the mixing, and is left with one noise.
    graph = nx.path_graph(5)
    mixing, T = topologies.Static(graph, topologies.mix("metropolis-hastings", graph)), 5
    b, noise = np.zeros((T, 5)), np.zeros((T, 5))
    b[0, 4], noise[0] = 1.0, 1.0
    A = heard_from_others(0, T, mixing)[:, :5]
    published = np.sqrt(((A[:, 4] / np.linalg.norm(A, axis=1)) ** 2).sum())
    exact = linear_mu(heard_from_others(0, T, mixing), b, noise)
    assert exact == pytest.approx(1.0)
    assert published < 0.8 * exact


@pytest.mark.parametrize(("graph", "peer"), [(nx.cycle_graph(5), 1), (nx.star_graph(4), 1)])
def test_responses_tell_more_than_linear_accounting_knows(graph, peer):
    # Nodes forget or turn about what they hear, as gradient steps of convex losses with η up to 2/L may.
    mixing, T = topologies.Static(graph, topologies.mix("metropolis-hastings", graph)), 3
    b, how = b_of(mixing, T, [0], 1.0), travel(mixing, T)
    linear = linear_mu(heard_from_others(peer, T, mixing), b, np.ones_like(b))
    worst, shown = 0.0, received_messages(how, peer)
    for seed in range(100):
        factors = np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], (T, len(graph)), p=[0.2, 0.2, 0.6])
        worst = max(worst, Responding(mixing, factors, b).messages(shown))
    assert linear * 1.04 < worst
    assert worst <= least_mu(b, shown, how, 2.0) * (1 + 1e-9)


def test_what_takes_too_long_is_not_affordable():
    assert is_affordable("node", None, 50, complete(5))
    assert not is_affordable("transcript", None, 200, complete(30))
    assert not is_affordable("joint", None, 200, network("static", 0, 1000))
