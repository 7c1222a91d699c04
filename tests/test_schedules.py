"""Schedules: what every round's matrix must be, whatever is on the line."""

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import SCHEDULES, TopologyError, build, mix, schedule, validate

ROUNDS = 12


def made(kind, family="erdos-renyi", nodes=12, seed=3, rule="metropolis-hastings", **parameters):
    graph = build(family, nodes, seed)
    return schedule(kind, graph, mix(rule, graph), seed, **parameters)


@given(
    kind=st.sampled_from(["static", "link-failures", "matchings"]),
    family=st.sampled_from(["ring", "star", "complete", "barabasi-albert"]),
    rule=st.sampled_from(["metropolis-hastings", "max-degree", "lazy-metropolis-hastings"]),
    nodes=st.integers(3, 30),
    seed=st.integers(0, 10_000),
)
@settings(deadline=None, max_examples=60)
def test_every_round_has_a_symmetric_mixing_matrix_of_the_graph(kind, family, rule, nodes, seed):
    made_here = made(kind, family, nodes, seed, rule)
    for t in range(ROUNDS):
        W = made_here.matrix(t)
        validate(W, made_here.graph)
        assert np.all(W.data > 0)
        assert W.has_sorted_indices


@pytest.mark.parametrize(
    "kind", [kind for kind in SCHEDULES if kind not in ("static", "one-peer-exponential", "graphs")]
)
def test_a_round_depends_on_its_address_alone(kind):
    forwards, backwards, other = made(kind), made(kind), made(kind, seed=4)
    ahead = [forwards.matrix(t).toarray() for t in range(ROUNDS)]
    back = [backwards.matrix(t).toarray() for t in reversed(range(ROUNDS))][::-1]
    assert all(np.array_equal(one, again) for one, again in zip(ahead, back, strict=True))
    assert not all(np.array_equal(ahead[0], W) for W in ahead)
    assert not np.array_equal(forwards.matrix(0).toarray(), other.matrix(0).toarray())


@given(kind=st.sampled_from(["link-failures", "matchings"]), shuffle=st.randoms())
@settings(deadline=None, max_examples=20)
def test_the_order_in_which_a_graph_lists_its_links_does_not_matter(kind, shuffle):
    graph = build("erdos-renyi", 12, 3)
    listed = list(graph.edges())
    shuffle.shuffle(listed)
    other = nx.empty_graph(12)
    other.add_edges_from((j, i) for i, j in listed)
    one, two = (schedule(kind, g, mix("metropolis-hastings", g), 3) for g in (graph, other))
    for t in range(4):
        assert np.array_equal(one.matrix(t).toarray(), two.matrix(t).toarray())


def test_a_link_that_fails_leaves_its_weight_at_both_ends():
    failing = made("link-failures", nodes=20, probability=0.5)
    whole = failing.weights.toarray()
    off = ~np.eye(20, dtype=bool)
    for t in range(ROUNDS):
        W = failing.matrix(t).toarray()
        there = W[off] > 0
        assert np.array_equal(W[off][there], whole[off][there])
        np.testing.assert_allclose(np.diag(W), np.diag(whole) + (whole - W)[off].reshape(20, 19).sum(axis=1))


def test_links_fail_as_often_as_they_should():
    for probability in (0.0, 0.1, 0.7):
        failing = made("link-failures", "complete", 30, probability=probability)
        links = 30 * 29
        kept = [(failing.matrix(t).nnz - np.count_nonzero(failing.matrix(t).diagonal())) / links for t in range(50)]
        # 21,750 draws: five standard deviations
        assert abs(np.mean(kept) - (1 - probability)) <= 5 * np.sqrt(probability * (1 - probability) / 21_750)


def test_a_matching_pairs_nodes_that_average():
    pairing = made("matchings", nodes=20)
    met = np.zeros((20, 20))
    for t in range(300):
        W = pairing.matrix(t).toarray()
        assert set(np.unique(W)) <= {0.0, 0.5, 1.0}
        assert np.array_equal(W @ W, W)  # pairs who average have nothing more to say to each other
        assert np.trace(W) < 20
        met += W > 0
    links = np.array(pairing.graph.edges())
    assert np.all(met[links[:, 0], links[:, 1]] > 0)


@pytest.mark.parametrize("nodes", [2, 4, 16])
def test_one_peer_exponential_averages_exactly_in_log2_rounds(nodes):
    turns = made("one-peer-exponential", "exponential" if nodes > 2 else "path", nodes)
    product = np.eye(nodes)
    for t in range(nodes.bit_length() - 1):
        W = turns.matrix(t).toarray()
        assert np.count_nonzero(W) == 2 * nodes
        product = W @ product
    np.testing.assert_allclose(product, 1 / nodes, atol=1e-15)


@pytest.mark.parametrize("nodes", [3, 5, 12])
def test_one_peer_exponential_is_doubly_stochastic_for_any_number_of_nodes(nodes):
    turns = made("one-peer-exponential", "complete", nodes)
    for t in range(ROUNDS):
        W = turns.matrix(t).toarray()
        np.testing.assert_allclose([W.sum(axis=0), W.sum(axis=1)], 1)


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("sometimes", {}, "there is no schedule 'sometimes'; choose one of static, link-failures"),
        ("static", {"probability": 0.1}, "has no parameter 'probability'; it takes none"),
        ("link-failures", {"probability": 1.0}, "at least 0 and below 1, not 1.0"),
        ("link-failures", {"probability": -0.1}, "at least 0 and below 1"),
        ("one-peer-exponential", {}, "choose the exponential topology"),
    ],
)
def test_what_makes_no_schedule_is_a_sentence(kind, parameters, words):
    with pytest.raises(TopologyError, match=words):
        made(kind, "ring", **parameters)


def test_a_run_over_failing_links_is_certified_and_verified(tmp_path):
    from runs import run_through

    from experiments.verify import verify_folder

    scenario = {
        "data": {"source": "synthetic", "samples": 200, "dimensions": 4, "classes": 3},
        "partition": {"clients": 8},
        "topology": {"kind": "ring", "schedule": {"kind": "link-failures", "probability": 0.4}},
        "learning": {"rounds": 12},
        "deletion": {"samples": 5},
        "unlearning": [
            {"method": "r2d", "bound": "instance"},
            {"method": "r2d", "view": "transcript:all", "placement": "rewind", "settle": 2},
            {"method": "warm-start"},
            {"method": "retrain"},
        ],
    }
    finished = run_through(scenario, tmp_path / "run")
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))
    topology = tmp_path / "run" / "topology.json"
    changed = json.loads(topology.read_text())
    changed["schedule"]["probability"] = 0.3
    topology.write_text(json.dumps(changed))
    assert not all(finding.holds for finding in verify_folder(tmp_path / "run"))
    epsilons = {}
    for probability in (0.0, 0.2, 0.5):
        there = f"topology.schedule.probability={probability}"
        finished = run_through(scenario, tmp_path / str(probability), there)
        assert all(found.holds for _, found in finished.certified)
        epsilons[probability] = finished.certified[1][0]
    # Three networks, three certificates, all of the same promise.
    assert len({certificate.sigma for certificate in epsilons.values()}) == 3
    assert len({certificate.mixing_sha256 for certificate in epsilons.values()}) == 3
