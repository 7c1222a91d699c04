"""Mixing matrices: stochastic, symmetric, on the edges; and their spectral gap against closed forms."""

from math import cos, fsum, pi

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from rewindnet.topologies import MIXING, TopologyError, build, mix, spectral_gap, validate
from rewindnet.topologies.mixing import is_symmetric

RULES = ["metropolis-hastings", "max-degree", "lazy-metropolis-hastings", "lazy-max-degree"]


def by_hand(rule, graph):
    """The rule as its paper writes it, entry by entry."""
    nodes, largest = len(graph), max(degree for _, degree in graph.degree())
    W = np.zeros((nodes, nodes))
    for i, j in graph.edges():
        degree = largest if "max" in rule else max(graph.degree(i), graph.degree(j))
        W[i, j] = W[j, i] = 1 / (1 + degree)
    W += np.diag(1 - W.sum(axis=1))
    return (W + np.eye(nodes)) / 2 if "lazy" in rule else W


def test_every_rule_is_tried_here():
    assert {*RULES, "uniform", "file"} == set(MIXING)


@pytest.mark.parametrize("rule", RULES)
@given(nodes=st.integers(3, 80), seed=st.integers(0, 10**6), m=st.integers(1, 2))
@examples(25)
def test_a_rule_is_doubly_stochastic_on_the_edges(rule, nodes, seed, m):
    graph = build("barabasi-albert", nodes, seed, m=m)
    W = mix(rule, graph)
    assert isinstance(W, sparse.csr_array)
    assert W.dtype == np.float64
    assert W.has_canonical_format
    assert (W != W.T).nnz == 0
    assert W.data.min() > 0
    assert max(abs(fsum(row) - 1) for row in W.toarray()) <= 2**-52
    assert {(i, j) for i, j in zip(*W.nonzero(), strict=True) if i < j} == {tuple(sorted(e)) for e in graph.edges()}
    np.testing.assert_allclose(W.toarray(), by_hand(rule, graph), rtol=0, atol=1e-14)


@given(laziness=st.floats(0, 0.99), rule=st.sampled_from(["metropolis-hastings", "max-degree"]))
@examples(25)
def test_laziness_keeps_its_share(laziness, rule):
    graph = build("grid", 12, 0)
    lazy = mix(f"lazy-{rule}", graph, laziness=laziness).toarray()
    expected = (1 - laziness) * mix(rule, graph).toarray() + laziness * np.eye(12)
    np.testing.assert_allclose(lazy, expected, rtol=0, atol=1e-15)


def test_long_rows_sum_to_one_exactly():
    W = mix("metropolis-hastings", build("star", 3001, 0))
    assert fsum(W[[0]].toarray().ravel()) == 1
    assert fsum(W[[1]].toarray().ravel()) == 1


def test_uniform_is_the_average():
    assert np.array_equal(mix("uniform", build("complete", 7, 0)).toarray(), np.full((7, 7), 1 / 7))


def test_a_graph_whose_links_have_failed_can_be_mixed():
    graph = nx.empty_graph(4)
    graph.add_edge(1, 2)
    for rule in RULES:
        W = mix(rule, graph)
        assert W[0, 0] == W[3, 3] == 1
        assert spectral_gap(W) == pytest.approx(0, abs=1e-14)
    assert np.array_equal(mix("max-degree", nx.empty_graph(2)).toarray(), np.eye(2))


@pytest.mark.parametrize(
    ("rule", "parameters", "sentence"),
    [
        ("uniform", {}, "uniform mixing needs the complete graph, with 10 links on 5 nodes; this one has 5"),
        ("lazy-max-degree", {"laziness": 1.0}, "at least 0 and below 1"),
        ("lazy-metropolis-hastings", {"laziness": -0.1}, "not -0.1"),
        ("max-degree", {"laziness": 0.1}, "the mixing rule 'max-degree' has no setting 'laziness'; it takes: none"),
        ("average", {}, "unknown mixing rule 'average'; there are: metropolis-hastings, "),
        ("file", {}, "the mixing rule 'file' needs the setting 'path'"),
    ],
)
def test_what_does_not_suit_is_refused_with_a_sentence(rule, parameters, sentence):
    with pytest.raises(TopologyError) as refused:
        mix(rule, build("ring", 5, 0), **parameters)
    assert sentence in str(refused.value)


def spoilt(*entries):
    W = mix("metropolis-hastings", build("ring", 5, 0)).toarray()
    for i, j, value in entries:
        W[i, j] += value
    return sparse.csr_array(W)


@pytest.mark.parametrize(
    ("W", "sentence"),
    [
        (sparse.csr_array(np.eye(4)), "the mixing matrix of 5 nodes is 5 × 5, not 4 × 4"),
        (sparse.csr_array(np.ones((5, 2))), "not 5 × 2"),
        (spoilt((2, 3, np.nan)), "entry (2, 3) of the mixing matrix must be finite; it is nan"),
        (spoilt((2, 3, np.inf)), "entry (2, 3) of the mixing matrix must be finite; it is inf"),
        (spoilt((1, 3, -0.5), (4, 3, -1)), "entry (1, 3) of the mixing matrix must not be negative; it is -0.5"),
        (spoilt((3, 3, 1e-6)), "each row of a mixing matrix sums to 1; row 3 sums to 1.000001"),
        (spoilt((1, 3, 0.1), (1, 1, -0.1)), "entry (1, 3) of the mixing matrix must be 0, because the graph has no"),
        (spoilt((1, 2, 0.1), (1, 1, -0.1)), "entry (1, 2) of the mixing matrix differs from its mirror image"),
    ],
)
def test_what_is_no_mixing_matrix_is_refused_with_a_sentence(W, sentence):
    with pytest.raises(TopologyError) as refused:
        validate(W, build("ring", 5, 0))
    assert sentence in str(refused.value)


def test_symmetry_is_only_asked_for_where_wanted():
    W = spoilt((1, 2, 0.1), (1, 1, -0.1))
    validate(W, build("ring", 5, 0), symmetric=False)
    assert not is_symmetric(W)


# Above 500 nodes the gap comes from an iteration, so each closed form is tried on both sides of that.
CLOSED_FORMS = [
    *(("ring", n, "metropolis-hastings", 2 / 3 * (1 - cos(2 * pi / n))) for n in (3, 5, 40, 501, 1000)),
    *(("ring", n, "lazy-max-degree", (1 - cos(2 * pi / n)) / 3) for n in (4, 41, 700)),
    *(("path", n, "max-degree", 2 / 3 * (1 - cos(pi / n))) for n in (3, 9, 600)),
    *(("complete", n, rule, 1.0) for n in (2, 9, 510) for rule in ("metropolis-hastings", "uniform")),
    *(("hypercube", 2**k, "metropolis-hastings", 2 / (k + 1)) for k in (1, 3, 6, 10)),
    *(("star", n, "metropolis-hastings", 1 / n) for n in (3, 50, 501, 2000)),
    *(("torus", n * n, "max-degree", 2 / 5 * (1 - cos(2 * pi / n))) for n in (4, 9, 30)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "nodes", "rule", "gap"), CLOSED_FORMS)
def test_the_spectral_gap_has_its_closed_form(kind, nodes, rule, gap):
    assert spectral_gap(mix(rule, build(kind, nodes, 0))) == pytest.approx(gap, rel=1e-7, abs=1e-14)


def test_the_negative_end_counts_too():
    # W = [[a, 1-a], [1-a, a]] has the eigenvalues 1 and 2a-1.
    assert spectral_gap(sparse.csr_array([[0.1, 0.9], [0.9, 0.1]])) == pytest.approx(0.2)
    ring = nx.adjacency_matrix(nx.cycle_graph(601)) / 2
    assert spectral_gap(sparse.csr_array(ring)) == pytest.approx(1 - cos(pi / 601), rel=1e-6)
    assert spectral_gap(sparse.csr_array(nx.adjacency_matrix(nx.cycle_graph(2600)) / 2)) == pytest.approx(0, abs=1e-12)


def directed_ring(nodes, stay):
    """Non-symmetric: keep a share, take the rest from the next node; eigenvalues stay + (1-stay)·roots of 1."""
    take = sparse.eye_array(nodes, k=1, format="lil")
    take[nodes - 1, 0] = 1
    return sparse.csr_array(stay * sparse.eye_array(nodes) + (1 - stay) * take)


def test_the_gap_of_a_matrix_without_symmetry():
    expected = 1 - abs(0.5 + 0.5 * np.exp(2j * pi / 30))
    assert spectral_gap(directed_ring(30, 0.5)) == pytest.approx(expected)
    # Rows to the power of one random walk with a restart at node 0: every other eigenvalue shrinks by one half.
    restart = sparse.lil_array((2100, 2100))
    restart[:, [0]] = np.full((2100, 1), 0.5)
    assert spectral_gap(sparse.csr_array(0.5 * sparse.eye_array(2100) + restart)) == pytest.approx(0.5)


@given(seed=st.integers(0, 10**6), nodes=st.integers(2, 30))
@examples(30)
def test_the_gap_agrees_with_powers_of_the_matrix(seed, nodes):
    # ‖W^k − 11ᵀ/N‖₂ = (1 − gap)^k for symmetric W.
    W = mix("metropolis-hastings", build("barabasi-albert", nodes, seed, m=1))
    apart = np.linalg.norm(np.linalg.matrix_power(W.toarray(), 9) - 1 / nodes, ord=2)
    assert apart == pytest.approx((1 - spectral_gap(W)) ** 9, abs=1e-12)


def test_iteration_and_full_spectrum_agree(monkeypatch):
    from rewindnet.topologies import spectral as spectral

    W = mix("metropolis-hastings", build("watts-strogatz", 450, 1))
    full = spectral_gap(W)
    monkeypatch.setattr(spectral, "DENSE_SYMMETRIC", 10)
    assert spectral_gap(W) == pytest.approx(full, rel=1e-6)
    assert spectral_gap(W) == spectral_gap(W)
    assert 1 - spectral._inverted_radius(W) == pytest.approx(full, rel=1e-9)


def test_a_single_node_is_mixed():
    assert spectral_gap(sparse.csr_array([[1.0]])) == 1.0
