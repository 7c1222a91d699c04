"""Light cones of all nodes, and the noise for the weakest peer, against brute force and other solvers."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from rewindnet import topologies
from rewindnet.certificates import Release, mu_of_view
from rewindnet.certificates.view import View
from rewindnet.certificates.views.allocation import noise_shape
from rewindnet.certificates.views.light_cones import light_cone, light_cones


def schedule(kind, seed, nodes):
    graph = topologies.build("erdos-renyi", nodes, seed, p=0.3)
    return topologies.schedule(kind, graph, topologies.mix("metropolis-hastings", graph), seed)


def tree(seed, nodes):
    """A network on which news travels slowly."""
    graph = nx.Graph(nx.random_labeled_tree(nodes, seed=seed))
    return topologies.Static(graph, topologies.mix("metropolis-hastings", graph))


def rewound(mixing, rounds, settle=0, sigma=None):
    noise = np.zeros(mixing.nodes) if sigma is None else sigma
    return Release("r2d", 3, rounds, "rewind", noise, gossip_rounds=settle)


def holds(mixing, release):
    """[N, N], row v the light cone of node v, by dense matrix products."""
    reach = np.eye(mixing.nodes, dtype=bool)
    for t in reversed(range(release.noise_round, release.noise_round + release.rounds_after_noise)):
        reach = (reach.astype(int) @ ((mixing.matrix(t).toarray() != 0) | np.eye(mixing.nodes, dtype=bool))) > 0
    return reach


def in_all(shape, view, e, release, mixing):
    """Σσ² once the view has μ = 1."""
    return (shape**2).sum() * mu_of_view(View.of(view), e, replace(release, sigma=shape), mixing) ** 2


@pytest.mark.parametrize("kind", ["static", "link-failures", "matchings"])
@given(seed=st.integers(0, 1000), nodes=st.integers(3, 150), rounds=st.integers(0, 6))
@examples(25)
def test_all_light_cones_at_once_are_those_one_by_one(kind, seed, nodes, rounds):
    mixing = schedule(kind, seed, nodes)
    release = rewound(mixing, rounds)
    cones = light_cones(release.noise_round, rounds, mixing)
    expected = holds(mixing, release)
    np.testing.assert_array_equal(cones.within(np.arange(nodes)).T, expected)
    for node in (0, nodes // 2, nodes - 1):
        np.testing.assert_array_equal(light_cone(node, release.noise_round, rounds, mixing), expected[node])
    weights = np.random.default_rng(seed).uniform(0, 1, nodes)
    np.testing.assert_allclose(cones.sums(weights), expected @ weights)


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(0, 4), st.integers(0, 2))
def test_the_weakest_peer_is_the_worst_of_all_peers(seed, nodes, rounds, settle):
    generator, mixing = np.random.default_rng(seed), tree(seed, nodes)
    e = generator.exponential(1, nodes) * (generator.uniform(0, 1, nodes) < 0.7)
    release = rewound(mixing, rounds, settle, generator.uniform(0.1, 2, nodes))
    ratios = (e / release.sigma) ** 2
    expected = np.sqrt((holds(mixing, release) @ ratios).max())
    for view in ("node", "transcript"):
        assert mu_of_view(View.of(view), e, release, mixing) == pytest.approx(expected, rel=1e-12)
    assert expected <= mu_of_view(View.of("transcript:all"), e, release, mixing) * (1 + 1e-12)


def test_a_network_too_large_to_follow_is_charged_for_all_of_it(monkeypatch):
    mixing = tree(1, 30)
    release = rewound(mixing, 2, sigma=np.linspace(1, 2, 30))
    e = np.linspace(0, 1, 30)
    followed = mu_of_view(View.of("transcript"), e, release, mixing)
    everything = mu_of_view(View.of("transcript:all"), e, release, mixing)
    assert followed < everything
    for limit in ("_LARGEST", "_MOST_WORDS"):
        with monkeypatch.context() as patched:
            patched.setattr(f"rewindnet.certificates.views.light_cones.{limit}", 20)
            assert light_cones(release.noise_round, 2, mixing) is None
            assert mu_of_view(View.of("transcript"), e, release, mixing) == everything
            shape = noise_shape(View.of("transcript"), "optimal", e, release, mixing)
            np.testing.assert_allclose(shape, np.sqrt(e))
    with monkeypatch.context() as patched:
        patched.setattr("rewindnet.certificates.views.allocation._LARGEST", 20)
        np.testing.assert_allclose(noise_shape(View.of("node"), "optimal", e, release, mixing), np.sqrt(e))


@examples(80)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(0, 4), st.sampled_from(["node", "transcript"]))
def test_no_other_noise_meets_the_weakest_peers_view_with_less_in_all(seed, nodes, rounds, view):
    generator, mixing = np.random.default_rng(seed), tree(seed, nodes)
    e = 10 ** generator.uniform(-6, 0, nodes) * (generator.uniform(0, 1, nodes) < 0.8)
    e[0] = 1.0
    release = rewound(mixing, rounds)
    shape = noise_shape(View.of(view), "optimal", e, release, mixing)
    assert (shape[e == 0] == 0).all()
    assert (shape[e > 0] > 0).all()
    least = in_all(shape, view, e, release, mixing)
    joint = noise_shape(View.of("joint"), "optimal", e, release, mixing)
    assert least <= in_all(joint, view, e, release, mixing) * (1 + 1e-12)
    for spread in (0.01, 0.1, 1.0):
        other = shape * np.exp(spread * generator.standard_normal(nodes))
        assert least <= in_all(other, view, e, release, mixing) * (1 + 1.1e-3)
    # Weak duality: for any prices on the views, no noise at all does with less than (Σ e·√p)²; see `_solved`.
    reach = holds(mixing, release)
    if not reach[:, e > 0].all(axis=1).any():
        price = generator.exponential(1, nodes)
        assert least >= (e @ np.sqrt(price @ reach / price.sum())) ** 2 * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_another_solver_finds_no_less_noise(seed):
    generator, mixing = np.random.default_rng(seed), tree(seed, 8)
    e, release = generator.uniform(0.1, 1, 8), rewound(mixing, 1)
    reach = holds(mixing, release).astype(float)
    # In y = ln(σ²): minimise Σe^y under Σ_i reach_vi·e_i²·e^(−y_i) ≤ 1.
    found = minimize(
        lambda y: np.exp(y).sum(),
        np.log(8 * e**2),
        jac=np.exp,
        method="SLSQP",
        constraints={
            "type": "ineq",
            "fun": lambda y: 1 - reach @ (e**2 * np.exp(-y)),
            "jac": lambda y: reach * (e**2 * np.exp(-y)),
        },
        options={"ftol": 1e-10, "maxiter": 500},
    )
    assert found.success
    shape = noise_shape(View.of("transcript"), "optimal", e, release, mixing)
    assert in_all(shape, "transcript", e, release, mixing) == pytest.approx(found.fun, rel=2e-3)


def test_where_one_peer_hears_of_everybody_the_noise_is_that_for_all_together():
    mixing, e = tree(3, 12), np.linspace(0.1, 1, 12)
    far = rewound(mixing, 11)
    np.testing.assert_array_equal(noise_shape(View.of("transcript"), "optimal", e, far, mixing), np.sqrt(e))
    # Peers that hear of nobody need each what it would need alone: σ ∝ e.
    alone = noise_shape(View.of("node"), "optimal", e, rewound(mixing, 0), mixing)
    np.testing.assert_allclose(alone / alone[-1], e, rtol=2e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e200])
def test_noise_for_the_weakest_peer_whatever_the_size_of_the_numbers(scale):
    mixing = tree(5, 9)
    release, e = rewound(mixing, 1), scale * 10.0 ** -np.arange(0.0, 18.0, 2)
    shape = noise_shape(View.of("transcript"), "optimal", e, release, mixing)
    assert np.all(np.isfinite(shape))
    assert np.all(shape > 0)
    np.testing.assert_allclose(
        shape, noise_shape(View.of("transcript"), "optimal", e / scale, release, mixing), rtol=1e-6
    )


def test_the_noise_for_one_peer_stays_in_its_light_cone():
    mixing = tree(7, 20)
    release, e = rewound(mixing, 1), np.linspace(0.1, 1, 20)
    reach = holds(mixing, release)
    for node in (0, 13):
        shape = noise_shape(View.of(f"node:{node}"), "optimal", e, release, mixing)
        np.testing.assert_array_equal(shape > 0, reach[node])
        np.testing.assert_allclose(shape[reach[node]] ** 2 / e[reach[node]], 1 / e[reach[node]].max())
