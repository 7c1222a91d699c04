"""A token that walks over a graph: where it is, how often, and what learning by it comes to."""

import networkx as nx
import numpy as np
import pytest
import torch
from networks import Network, further, learn_and_retrain
from scipy.stats import chisquare

from rewindnet.certificates import Constant, TrainingRun, derive, propagate
from rewindnet.clients.steps.learning import Descend
from rewindnet.topologies import LEARNING, TopologyError, Walk, build, mix, schedule
from rewindnet.topologies.mixing import canonical

#: Between hops that are counted, so that one visit has forgotten the last.
APART = 20


def on(family, nodes, seed=0, **parameters):
    graph = build(family, nodes, seed)
    return Walk(graph, mix("metropolis-hastings", graph), seed, **parameters)


def visits(walk, counted=800):
    return np.bincount([walk.holder(APART * k) for k in range(1, counted + 1)], minlength=walk.nodes)


def stationary(P):
    """π with π = πP, by brute force."""
    values, vectors = np.linalg.eig(P.T)
    pi = np.real(vectors[:, np.argmax(np.real(values))])
    return pi / pi.sum()


def degrees(walk):
    return np.array([walk.graph.degree(node) for node in walk.graph], dtype=float)


@pytest.mark.parametrize("family", ["star", "barabasi-albert"])
def test_metropolis_visits_everyone_equally_often(family):
    assert chisquare(visits(on(family, 7))).pvalue > 1e-4


def test_a_uniform_walk_visits_by_degree():
    graph = build("barabasi-albert", 8, 0)
    walk = Walk(graph, mix("metropolis-hastings", graph), 0, rule="uniform")
    share = degrees(walk) / degrees(walk).sum()
    found = visits(walk)
    assert chisquare(found, 800 * share).pvalue > 1e-4
    assert chisquare(found).pvalue < 1e-6  # the same draws tell it from the uniform law


def test_a_walk_by_the_mixing_matrix_visits_by_its_stationary_law():
    graph = nx.lollipop_graph(4, 3)
    weights = np.zeros((7, 7))
    for one, other in graph.edges():
        weights[one, other], weights[other, one] = 1.0 + other, 2.0
    weights += np.eye(7)
    weights /= weights.sum(axis=1, keepdims=True)
    walk = Walk(graph, canonical(weights), 3, rule="mixing")
    pi = stationary(weights)
    assert pi.max() > 2 * pi.min()
    assert chisquare(visits(walk), 800 * pi).pvalue > 1e-4


def test_a_restart_goes_anywhere():
    jumping = on("path", 6, seed=2, restart=1.0)
    holders = np.array([jumping.holder(t) for t in range(3_000)])
    pairs = np.bincount(6 * holders[:-1] + holders[1:], minlength=36)
    assert chisquare(pairs).pvalue > 1e-4


def test_without_a_restart_every_hop_is_along_a_link_or_a_stay():
    for rule in ("uniform", "metropolis", "mixing"):
        walk = Walk(build("ring", 7, 0), mix("lazy-metropolis-hastings", build("ring", 7, 0)), 1, rule=rule)
        hops = [(walk.holder(t), walk.holder(t + 1)) for t in range(200)]
        assert all(one == other or walk.graph.has_edge(one, other) for one, other in hops)
        # On a ring all degrees are equal, and metropolis declines nothing.
        assert any(one == other for one, other in hops) == (rule == "mixing")


def test_the_holder_depends_on_its_address_alone():
    ahead, back, other = (on("erdos-renyi", 9, seed) for seed in (4, 4, 5))
    forwards = [ahead.holder(t) for t in range(60)]
    assert [back.holder(t) for t in reversed(range(60))][::-1] == forwards
    assert [other.holder(t) for t in range(60)] != forwards


def test_the_walk_starts_where_it_is_told():
    assert {on("ring", 5, seed, start=3).holder(0) for seed in range(20)} == {3}
    assert {on("ring", 5, seed).holder(0) for seed in range(60)} == set(range(5))


def test_the_matrix_of_a_hop_hands_the_model_on():
    walk = on("star", 6, seed=1)
    for t in range(40):
        expected = np.eye(6)
        expected[walk.holder(t + 1)] = np.eye(6)[walk.holder(t)]
        np.testing.assert_array_equal(walk.matrix(t).toarray(), expected)
        np.testing.assert_array_equal(np.flatnonzero(walk.participating(t)), [walk.holder(t)])


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rule": "random"}, "by the rule uniform, metropolis or mixing, not 'random'"),
        ({"restart": 1.5}, "between 0 and 1, not 1.5"),
        ({"start": 9}, "one of the nodes 0 to 5, not 9"),
    ],
)
def test_what_is_no_walk_is_a_sentence(parameters, words):
    graph = build("ring", 6, 0)
    with pytest.raises(TopologyError, match=words):
        Walk(graph, mix("metropolis-hastings", graph), 0, **parameters)


def test_a_walk_needs_a_network_that_stays_as_it_is():
    graph = build("ring", 6, 0)
    weights = mix("metropolis-hastings", graph)
    with pytest.raises(TopologyError, match=r"use topology\.schedule=static"):
        LEARNING["walk"](schedule("node-sleep", graph, weights, 0), 0)
    with pytest.raises(TopologyError, match="use departure relay"):
        LEARNING["walk"](schedule("static", graph, weights, 0), 0, (2,))


CASE = Network(
    "erdos-renyi", 6, "metropolis-hastings", "adapt-then-combine", "logistic", 0.1, 0.9, 2, 25, 1, "half",
    (9, 12, 3, 1, 7, 20), "float64", 11, schedule="walk metropolis",
)  # fmt: skip


def softmax_gradient(theta, x, y, l2):
    """The mean gradient of the multinomial logistic loss, in numpy; without samples the regulariser alone."""
    W = theta.reshape(3, -1)
    if not len(x):
        return l2 * theta
    scores = x @ W.T
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return (p.T @ x / len(x)).ravel() + l2 * theta


def test_learning_by_a_token_is_one_model_handed_on():
    simulation, learned, oracle, learning = learn_and_retrain(CASE)
    rng = np.random.default_rng(CASE.seed)
    x, y = CASE.rows(rng)
    forget = CASE.forget(rng)
    ends = np.cumsum(CASE.sizes)
    own = [np.arange(end - size, end) for end, size in zip(ends, CASE.sizes, strict=True)]
    kept = [np.delete(rows, forget.get(node, [])) for node, rows in enumerate(own)]
    model = simulation.network.worker.full.model
    design = model.design(torch.from_numpy(x)).numpy()
    walk = learning.mixing
    assert isinstance(walk, Walk)
    for trajectory, rows in ((learned, own), (oracle, kept)):
        token = trajectory.at(0)[0].numpy().copy()
        for t in range(CASE.rounds):
            holder = walk.holder(t)
            np.testing.assert_allclose(trajectory.at(t)[holder].numpy(), token, rtol=1e-10, atol=1e-12)
            for _ in range(CASE.local_steps):
                mine = rows[holder]
                token = token - learning.step_size * softmax_gradient(token, design[mine], y[mine], model.l2)


def scalar(learning: TrainingRun, walk: Walk, rounds: int, disturbed: int, E: int) -> float:
    """The recursion along the walk: e grows by every holder's steps, and takes up b where it is the deleting one's."""
    constants = learning.constants
    eta, mu, L = learning.step_size, constants.l2.value, constants.L.value
    gamma = max(abs(1 - eta * mu), abs(1 - eta * L))
    n, m = learning.samples, learning.deleted
    e = 0.0
    for t in range(rounds):
        h = walk.holder(t)
        b = 2 * eta * m[h] * constants.G.value / n[h] if t < disturbed else 0.0
        for _ in range(E):
            e = gamma * e + b
    return e


@pytest.mark.parametrize("K", [0, 7, 20])
@pytest.mark.parametrize("rule", ["uniform", "metropolis", "mixing"])
def test_the_sensitivity_of_the_token_is_a_scalar_recursion(rule, K):
    T, E = 40, 3
    graph = build("barabasi-albert", 7, 1)
    walk = Walk(graph, mix("lazy-max-degree", graph), 1, rule=rule)
    learning = TrainingRun(
        mixing=walk,
        rounds=T,
        step_size=0.8,
        local_steps=E,
        order="adapt-then-combine",
        constants=derive("logistic", Constant(1.0, "proven"), l2=0.05),
        samples=np.arange(5, 12),
        deleted=np.array([0, 0, 3, 0, 1, 0, 0]),
    )
    e = propagate(learning, disturbed=T - K, undisturbed=K).total
    expected = scalar(learning, walk, T, T - K, E)
    assert expected > 0
    assert e[walk.holder(T)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("K", [0, 10, 25])
def test_rewinding_hops_replays_the_same_walk(K):
    simulation, learned, oracle, learning = learn_and_retrain(CASE)
    T, token = CASE.rounds, learning.mixing.holder(CASE.rounds)
    unlearned = further(
        simulation, learned.checkpoint_names[T - K], Descend("adapt-then-combine", range(T - K, T)), T - K
    )
    measured = float((unlearned - oracle.at(T))[token].norm())
    assert measured <= propagate(learning, disturbed=T - K, undisturbed=K).total[token]
    assert (measured == 0) == (K == T)
