"""Schedules: what every round's matrix must be, whatever is on the line."""

import json

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from rewindnet.topologies import SCHEDULES, TopologyError, build, mix, mix_without, schedule, validate

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
@examples(60)
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
@examples(20)
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
        ("sometimes", {}, "unknown schedule 'sometimes'; there are: static, link-failures"),
        ("static", {"probability": 0.1}, "has no setting 'probability'; it takes: none"),
        ("link-failures", {"probability": 1.0}, "at least 0 and below 1, not 1.0"),
        ("link-failures", {"probability": -0.1}, "at least 0 and below 1"),
        ("one-peer-exponential", {}, "choose the exponential topology"),
    ],
)
def test_what_makes_no_schedule_is_a_sentence(kind, parameters, words):
    with pytest.raises(TopologyError, match=words):
        made(kind, "ring", **parameters)


def test_a_run_over_failing_links_is_certified_and_verified(tmp_path):
    from runs import rehash, run_through

    from rewindnet.experiments.verify.verify import verify_folder

    scenario = {
        "data": {"source": "synthetic", "samples": 200, "dimensions": 4, "classes": 3},
        "partition": {"clients": 8},
        "topology": {"kind": "ring", "schedule": {"kind": "link-failures", "probability": 0.4}},
        "learning": {"rounds": 12},
        "deletion": {"samples": 5},
        "unlearning": [
            {"method": "r2d", "bound": "instance"},
            {"method": "r2d", "view": "transcript:all", "placement": "rewind", "gossip_rounds": 2},
            {"method": "warm-start"},
            {"method": "retrain"},
        ],
    }
    run_through(scenario, tmp_path / "run")
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))
    topology = tmp_path / "run" / "topology.json"
    changed = json.loads(topology.read_text())
    changed["schedule"]["probability"] = 0.3
    topology.write_text(json.dumps(changed))
    rehash(topology)
    assert not all(finding.holds for finding in verify_folder(tmp_path / "run"))


def test_failing_links_give_another_certificate_of_the_same_promise(tmp_path):
    """The same data deleted over links of which none, 20 % and 50 % fail."""
    from runs import run_through

    from rewindnet.experiments.verify.verify import verify_folder

    scenario = {
        "data": {"source": "digits", "limit": 600},
        "partition": {"clients": 10},
        "topology": {"kind": "ring", "schedule": {"kind": "link-failures"}},
        "learning": {"rounds": 20},
        "deletion": {"client": 3, "samples": 10},
        "audit": {"draws": 200},
        "unlearning": [
            {"method": "r2d"},
            {"method": "r2d", "bound": "instance", "view": "transcript:all", "placement": "rewind"},
        ],
    }
    runs = {}
    for probability in (0.0, 0.2, 0.5):
        folder = tmp_path / str(probability)
        runs[probability] = run_through(scenario, folder, f"topology.schedule.probability={probability}")
        assert all(found.holds for _, found in runs[probability].certified)
        assert all(finding.holds for finding in verify_folder(folder))
    assert len({json.dumps(run.learning["requests"][0]["forget"]) for run in runs.values()}) == 1
    for which in (0, 1):
        certificates = [run.certified[which][0] for run in runs.values()]
        assert all(certificate.epsilon == pytest.approx(1.0) for certificate in certificates)
        for field in ("sensitivity", "sigma", "mixing_sha256"):
            assert len({str(certificate.to_record()[field]) for certificate in certificates}) == 3
        # The more links fail, the less the influence is thinned by mixing: the largest sensitivity grows.
        largest = [max(certificate.sensitivity) for certificate in certificates]
        assert largest == sorted(largest)


KINDS = [
    ("static", {}),
    ("link-failures", {"probability": 0.4}),
    ("node-sleep", {"probability": 0.4}),
    ("matchings", {}),
    ("asynchronous", {"activates": "edge"}),
    ("asynchronous", {"activates": "node"}),
]


def test_nobody_hears_a_sleeper_and_a_sleeper_hears_nobody():
    sleepy = made("node-sleep", nodes=20, probability=0.5)
    whole = sleepy.weights.toarray()
    for t in range(ROUNDS):
        W, participating = sleepy.matrix(t).toarray(), sleepy.participating(t)
        off = ~np.eye(20, dtype=bool)
        there = off & participating[:, None] & participating[None, :]
        np.testing.assert_array_equal(W[off], np.where(there, whole, 0.0)[off])
        np.testing.assert_array_equal(W[~participating], np.eye(20)[~participating])
        np.testing.assert_allclose([W.sum(axis=0), W.sum(axis=1)], 1)


def test_nodes_sleep_as_often_as_they_should():
    for probability in (0.0, 0.1, 0.7):
        sleepy = made("node-sleep", "complete", 30, probability=probability)
        asleep = 1 - np.mean([sleepy.participating(t) for t in range(500)])
        # 15,000 draws: five standard deviations
        assert abs(asleep - probability) <= 5 * np.sqrt(probability * (1 - probability) / 15_000)


def test_the_two_ends_of_a_random_link_average_and_step():
    ticking = made("asynchronous", "barabasi-albert", 12, activates="edge")
    links = np.array(ticking.graph.edges())
    active = np.zeros((12, 12))
    for t in range(1_500):
        W, participating = ticking.matrix(t).toarray(), ticking.participating(t)
        i, j = np.flatnonzero(participating)
        expected = np.eye(12)
        expected[np.ix_([i, j], [i, j])] = 0.5
        np.testing.assert_array_equal(W, expected)
        active[i, j] += 1
    counts = active[links.min(axis=1), links.max(axis=1)]
    assert counts.sum() == 1_500
    assert chisquare(counts).pvalue > 1e-4


def test_a_node_that_acts_alone_changes_nobody_else():
    ticking = made("asynchronous", "star", 9, activates="node")
    whole, active = ticking.weights.toarray(), np.zeros(9)
    for t in range(1_000):
        W = ticking.matrix(t).toarray()
        (node,) = np.flatnonzero(ticking.participating(t))
        expected = np.eye(9)
        expected[node] = whole[node]
        np.testing.assert_allclose(W, expected, atol=1e-15)
        active[node] += 1
    assert chisquare(active).pvalue > 1e-4
    columns = [ticking.matrix(t).sum(axis=0) for t in range(9)]
    assert any(np.abs(column - 1).max() > 0.1 for column in columns)  # not doubly stochastic


def complete(kind, nodes, departed=(), **parameters):
    graph = build("complete", nodes, 0)
    return schedule(kind, graph, mix_without("metropolis-hastings", graph, departed), 0, departed, **parameters)


def test_a_list_of_graphs_takes_turns_each_weighted_by_itself():
    lists = [[[0, 1], [1, 2]], [], [[3, 2], [2, 3], [0, 3]]]
    listed = complete("graphs", 4, graphs=lists, rounds=3, rule="max-degree")
    for t in range(20):
        graph = nx.empty_graph(4)
        graph.add_edges_from(lists[t // 3 % 3])
        np.testing.assert_array_equal(listed.matrix(t).toarray(), mix("max-degree", graph).toarray())
    assert listed.matrix(0) is listed.matrix(2)
    assert listed.recorded == {"graphs": [[[0, 1], [1, 2]], [], [[0, 3], [2, 3]]]}


def test_graphs_in_files_are_those_of_their_lines(tmp_path):
    (tmp_path / "mon.txt").write_text("0 1\n1 2  # and no more\n")
    (tmp_path / "tue.csv").write_text("3,2\n")
    files = complete("graphs", 4, graphs=[str(tmp_path / "mon.txt"), str(tmp_path / "tue.csv")])
    inline = complete("graphs", 4, graphs=[[[0, 1], [1, 2]], [[2, 3]]])
    assert files.recorded == inline.recorded
    for t in range(4):
        assert np.array_equal(files.matrix(t).toarray(), inline.matrix(t).toarray())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"graphs": []}, "at least one graph"),
        ({"graphs": [[[0, 1]]], "rounds": 0}, "at least one round each"),
        ({"graphs": [[[0, 1], [2, 3]]]}, "never connect: all of them together leave 2 parts"),
        ({"graphs": [[[0, 1], [1, 2], [2, 4]]]}, r"graph 0 of the schedule links \[2, 4\]; it takes two of"),
        ({"graphs": [[[0, 1]], [[2, 2]]]}, r"graph 1 of the schedule links \[2, 2\]"),
        ({"graphs": [[[0, 1, 2]]]}, "graph 0 of the schedule is a file or a list of pairs"),
        ({"graphs": ["nowhere.txt"]}, "nowhere.txt' cannot be read"),
        ({"graphs": [[[0, 1]]], "rule": "uniform"}, "takes the rule metropolis-hastings or max-degree, not 'uniform'"),
    ],
)
def test_what_makes_no_list_of_graphs_is_a_sentence(parameters, words):
    with pytest.raises(TopologyError, match=words):
        complete("graphs", 4, **parameters)


def test_a_list_may_not_link_what_the_topology_does_not():
    with pytest.raises(TopologyError, match="graph 1 of the schedule links 0 and 2, which the topology does not"):
        made("graphs", "path", 4, graphs=[[[0, 1], [1, 2], [2, 3]], [[2, 0]]])


def test_a_file_with_a_name_that_the_topology_has_not_is_a_sentence(tmp_path):
    (tmp_path / "mon.txt").write_text("0 nobody\n")
    with pytest.raises(TopologyError, match="names the node 'nobody', which the topology does not have"):
        complete("graphs", 4, graphs=[str(tmp_path / "mon.txt")])


@pytest.mark.parametrize(("kind", "parameters"), [*KINDS, ("graphs", {"graphs": [[[0, 1], [1, 2]], [[2, 3], [3, 4]]]})])
def test_nobody_hears_who_has_left_and_the_coins_of_the_others_are_the_same(kind, parameters):
    before, after = complete(kind, 5, **parameters), complete(kind, 5, (2,), **parameters)
    stay = np.array([0, 1, 3, 4])
    for t in range(40):
        W, without = before.matrix(t).toarray(), after.matrix(t).toarray()
        np.testing.assert_array_equal(without[2], np.eye(5)[2])
        np.testing.assert_array_equal(without[:, 2], np.eye(5)[2])
        np.testing.assert_allclose(without.sum(axis=1), 1)
        assert np.array_equal(before.participating(t), after.participating(t))
        if kind != "matchings":
            # Only the leaver is missing. Without its links others may be matched, whose key is now the smallest.
            assert np.array_equal(W[np.ix_(stay, stay)] > 0, without[np.ix_(stay, stay)] > 0)


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_who_does_not_know_the_leaver_mixes_as_before(kind, parameters):
    graph = build("ring", 9, 0)
    before = schedule(kind, graph, mix("max-degree", graph), 5, **parameters)
    after = schedule(kind, graph, mix_without("max-degree", graph, (4,)), 5, (4,), **parameters)
    # Neighbours of neighbours may be matched anew.
    far = [0, 8] if kind == "matchings" else [0, 1, 2, 6, 7, 8]
    for t in range(30):
        np.testing.assert_array_equal(before.matrix(t).toarray()[far], after.matrix(t).toarray()[far])


def test_what_remains_is_weighted_by_the_same_rule_in_every_part():
    graph = build("path", 6, 0)
    W = mix_without("metropolis-hastings", graph, (2,)).toarray()
    left, right = mix("metropolis-hastings", nx.path_graph(2)).toarray(), mix("metropolis-hastings", nx.path_graph(3))
    np.testing.assert_array_equal(W[:2, :2], left)
    np.testing.assert_array_equal(W[3:, 3:], right.toarray())
    assert np.count_nonzero(W) == 4 + right.nnz + 1
    np.testing.assert_allclose(W.sum(axis=1), 1)


def test_averaging_by_a_server_goes_on_without_those_who_left():
    W = mix_without("uniform", build("complete", 5, 0), (1, 3)).toarray()
    expected = np.eye(5)
    expected[np.ix_([0, 2, 4], [0, 2, 4])] = 1 / 3
    np.testing.assert_allclose(W, expected)


def test_of_a_star_without_its_centre_everyone_is_alone():
    np.testing.assert_array_equal(mix_without("max-degree", build("star", 5, 0), (0,)).toarray(), np.eye(5))


def test_who_has_left_may_have_no_weight():
    graph = build("ring", 4, 0)
    with pytest.raises(TopologyError, match="no weight with another node"):
        schedule("static", graph, mix("metropolis-hastings", graph), 0, (1,))


@pytest.mark.parametrize(
    ("kind", "family", "parameters", "departed", "words"),
    [
        ("node-sleep", "ring", {"probability": 1.0}, (), "a node sleeps is at least 0 and below 1, not 1.0"),
        ("asynchronous", "ring", {"activates": "everyone"}, (), "activates an edge or a node, not 'everyone'"),
        ("one-peer-exponential", "complete", {}, (1,), "no node can leave, use departure relay"),
    ],
)
def test_what_cannot_be_is_a_sentence(kind, family, parameters, departed, words):
    graph = build(family, 6, 0)
    with pytest.raises(TopologyError, match=words):
        schedule(kind, graph, mix_without("metropolis-hastings", graph, departed), 0, departed, **parameters)


def test_a_run_over_graphs_from_files_needs_them_no_more(tmp_path):
    from runs import run_through

    from rewindnet.experiments.folder.reader import read_folder
    from rewindnet.experiments.verify.verify import verify_folder

    for day, line in (("mon", "0 1\n2 3\n"), ("tue", "1 2\n")):
        (tmp_path / f"{day}.txt").write_text(line)
    files = [str(tmp_path / "mon.txt"), str(tmp_path / "tue.txt")]
    scenario = {
        "data": {"source": "synthetic", "samples": 60, "dimensions": 3},
        "partition": {"clients": 4},
        "topology": {"kind": "complete", "schedule": {"kind": "graphs", "graphs": files, "rounds": 2}},
        "learning": {"rounds": 8},
        "deletion": {"samples": 3},
        "unlearning": [{"method": "r2d", "placement": "rewind", "view": "transcript:3"}, "do-nothing"],
        "audit": {"draws": 0},
    }
    run_through(scenario, tmp_path / "run")
    for file in files:
        (tmp_path / file).unlink()
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))
    _, learning = read_folder(tmp_path / "run").network
    pairs = complete("graphs", 4, graphs=[[[0, 1], [2, 3]], [[1, 2]]], rounds=2)
    for t in range(8):
        assert np.array_equal(learning.mixing.matrix(t).toarray(), pairs.matrix(t).toarray())


def test_links_that_were_not_asked_for_are_caught(tmp_path):
    from runs import run_through

    from rewindnet.experiments.verify.verify import verify_folder

    schedule = {"kind": "graphs", "graphs": [[[1, 0], [2, 3]], [[1, 2]]]}
    scenario = {
        "data": {"source": "synthetic", "samples": 60, "dimensions": 3},
        "partition": {"clients": 4},
        "topology": {"kind": "complete", "schedule": schedule},
        "learning": {"rounds": 3},
        "deletion": {"samples": 3},
        "unlearning": ["do-nothing"],
    }
    run_through(scenario, tmp_path / "run")
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))
    topology = tmp_path / "run" / "topology.json"
    changed = json.loads(topology.read_text())
    changed["schedule"]["graphs"][1] = [[1, 3]]
    topology.write_text(json.dumps(changed))
    found = [finding.sentence for finding in verify_folder(tmp_path / "run") if not finding.holds]
    assert any("by the scenario and the seed" in sentence for sentence in found)
