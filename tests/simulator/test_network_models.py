"""Links: what every message takes, draws that depend on the address alone, and every way in which they are refused."""

import json
import os
from inspect import Parameter, signature
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats

from rewindnet.simulator.cost.network_kinds import _splitmix
from rewindnet.simulator.cost.network_model import NETWORK_MODELS, NetworkModel, build_network_model
from rewindnet.topologies import Stream, TopologyError, build, mix

SIZE = 1_000_000


def between(links, graph, size=SIZE):
    """The seconds of a message over every directed edge, by (sender, receiver)."""
    W = sparse.csr_array(nx.to_scipy_sparse_array(graph, nodelist=range(links.nodes), format="csr"))
    entries = W.tocoo()
    delays = links.delays(W, size).tolist()
    return dict(zip(zip(entries.col.tolist(), entries.row.tolist(), strict=True), delays, strict=True))


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_recorded_draws_keep_their_addresses():
    assert (Stream.NETWORK_MODEL, Stream.STRAGGLERS, Stream.LINK_FAILURES, Stream.MATCHING) == (9, 10, 11, 12)


@pytest.mark.parametrize("kind", NETWORK_MODELS)
def test_every_kind_takes_the_settings_of_all_by_keyword(kind):
    taken = {
        p.name: p.default
        for p in signature(NETWORK_MODELS[kind]).parameters.values()
        if p.kind is Parameter.KEYWORD_ONLY
    }
    common = {"latency": 0.02, "bandwidth": 12.5e6, "stragglers": 0, "slowdown": 10, "gradient_seconds": 1e-5}
    assert taken.items() >= common.items()


def test_uniform_links_take_latency_plus_size_over_bandwidth():
    W = mix("metropolis-hastings", build("grid", 12, 0))
    links = build_network_model("uniform", build("grid", 12, 0), 0, latency=0.5, bandwidth=4e6, gradient_seconds=2e-3)
    assert links.gradient_seconds == 2e-3
    rows, columns = W.nonzero()
    assert np.array_equal(links.delays(W, SIZE), np.where(rows == columns, 0, 0.75))
    assert np.array_equal(links.delays(W, 0), np.where(rows == columns, 0, 0.5))


def test_the_diagonal_takes_no_time_and_what_is_not_linked_is_relayed():
    links = NetworkModel(
        nominal_latency=1.0,
        nominal_bandwidth=10.0,
        slowness=np.ones(3),
        gradient_seconds=0.0,
        places=np.array([1, 3]),
        latency=np.array([2.0, 3.0]),
        bandwidth=np.array([5.0, 20.0]),
    )
    # 1 sends to 0 over the first link, 0 to 1 over the second; 2 has none of its own.
    expected = [[0, 2 + 20 / 5, 3], [3 + 20 / 20, 0, 3], [3, 3, 0]]
    assert np.array_equal(links.delays(sparse.csr_array(np.ones((3, 3))), 20), np.ravel(expected))
    token = sparse.csr_array(([1.0], ([1], [0])), shape=(3, 3))
    assert links.delays(token, 20).tolist() == [4.0]
    assert links.delays(sparse.csr_array((3, 3)), 20).tolist() == []


@given(data=st.data(), nodes=st.integers(1, 7))
@examples(60)
def test_delays_are_those_of_each_entry_in_the_order_of_the_matrix(data, nodes):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    places = np.flatnonzero(rng.random(nodes**2) < 0.5)
    latency, bandwidth = rng.random(places.size), rng.random(places.size) + 0.1
    links = NetworkModel(0.3, 7.0, np.ones(nodes), 0.0, places, latency, bandwidth)
    own = dict(zip(places.tolist(), zip(latency, bandwidth, strict=True), strict=True))
    W = sparse.csr_array(rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < 0.6))
    shuffled = W.copy()
    for i in range(nodes):
        row = slice(W.indptr[i], W.indptr[i + 1])
        shuffled.indices[row] = rng.permutation(W.indices[row])
    for matrix in (W, shuffled):
        expected = []
        for i in range(nodes):
            for j in matrix.indices[matrix.indptr[i] : matrix.indptr[i + 1]].tolist():
                seconds, speed = own.get(i * nodes + j, (0.3, 7.0))
                expected.append(0 if i == j else seconds + 12 / speed)
        np.testing.assert_allclose(links.delays(matrix, 12), expected, rtol=1e-14)


def test_drawn_links_are_the_same_both_ways_and_however_the_edges_are_listed():
    graph = build("watts-strogatz", 60, 3)
    shuffled = nx.empty_graph(60)
    shuffled.add_edges_from((j, i) for i, j in reversed(list(graph.edges())))
    one, other = (between(build_network_model("heterogeneous", g, 5), graph) for g in (graph, shuffled))
    assert one == other
    assert all(one[i, j] == one[j, i] for i, j in one)
    assert len(set(one.values())) == graph.number_of_edges()


def test_a_link_keeps_its_draw_in_another_topology():
    ring, complete = build("ring", 9, 0), build("complete", 30, 0)
    larger = between(build_network_model("heterogeneous", complete, 5), complete)
    assert between(build_network_model("heterogeneous", ring, 5), ring).items() <= larger.items()


def test_the_seed_matters_to_what_is_drawn():
    graph = build("ring", 50, 0)
    drawn = [build_network_model("heterogeneous", graph, seed, stragglers=0.5) for seed in range(4)]
    assert len({links.latency.tobytes() for links in drawn}) == 4
    assert len({links.bandwidth.tobytes() for links in drawn}) == 4
    assert len({links.slowness.tobytes() for links in drawn}) == 4


def test_drawn_links_are_log_normal_and_latency_says_nothing_of_bandwidth():
    graph = build("complete", 150, 0)
    links = build_network_model("heterogeneous", graph, 1, latency=0.1, bandwidth=1e6, spread=0.8)
    receivers, senders = np.divmod(links.places, 150)
    once = receivers < senders
    latency = np.log(links.latency[once] / 0.1) / 0.8
    bandwidth = np.log(links.bandwidth[once] / 1e6) / 0.8
    for drawn in (latency, bandwidth):
        assert stats.kstest(drawn, "norm").pvalue > 1e-3
        # Links that share an end are as independent as others: the mean of a node's links has variance 1/degree.
        of_node = np.zeros((150, 150))
        of_node[receivers[once], senders[once]] = drawn
        sums = (of_node + of_node.T).sum(axis=1) / np.sqrt(149)
        assert stats.kstest(sums, "norm").pvalue > 1e-3
    assert abs(stats.pearsonr(latency, bandwidth).statistic) < 4 / np.sqrt(latency.size)


def test_without_spread_links_are_uniform():
    graph = build("torus", 16, 0)
    W = mix("metropolis-hastings", graph)
    even, same = build_network_model("heterogeneous", graph, 0, spread=0.0), build_network_model("uniform", graph, 0)
    assert np.array_equal(even.delays(W, SIZE), same.delays(W, SIZE))


def test_what_two_strangers_send_takes_the_median():
    links = build_network_model("heterogeneous", build("path", 3, 0), 0, latency=1.0, bandwidth=1e6)
    delays = links.delays(sparse.csr_array(np.full((3, 3), 1 / 3)), SIZE).reshape(3, 3)
    assert delays[0, 2] == delays[2, 0] == 2
    assert delays[0, 1] == delays[1, 0] != 2


@pytest.mark.parametrize("kind", ["uniform", "heterogeneous"])
def test_stragglers_are_a_share_of_the_nodes_and_more_of_them_include_the_fewer(kind):
    graph, slow = build("ring", 40, 0), []
    for stragglers in (0, 0.1, 0.25, 0.5, 1):
        links = build_network_model(kind, graph, 2, stragglers=stragglers, slowdown=4.0)
        assert set(links.slowness.tolist()) <= {1.0, 4.0}
        slow.append(set(np.flatnonzero(links.slowness == 4).tolist()))
    assert [len(some) for some in slow] == [0, 4, 10, 20, 40]
    assert all(fewer <= more for fewer, more in pairwise(slow))


def test_every_node_is_a_straggler_as_often_as_any():
    graph, draws = build("ring", 10, 0), 400
    often = sum(
        build_network_model("uniform", graph, seed, stragglers=0.3, slowdown=2.0).slowness - 1 for seed in range(draws)
    )
    assert np.abs(often / draws - 0.3).max() < 5 * np.sqrt(0.21 / draws)


CSV = "# from, to, latency, bandwidth\n0,1,0.5,1e6\n 1, 2, , 2e6 # latency left to the nominal one\n2,3,0.25,\n3,2,1,\n"
JSON = [
    {"from": 0, "to": 1, "latency": 0.5, "bandwidth": 1e6},
    {"from": "1", "to": 2, "bandwidth": 2_000_000},
    {"from": 2, "to": 3, "latency": 0.25},
    {"from": 3, "to": 2, "latency": 1},
]


@pytest.mark.parametrize(("name", "text"), [("a.csv", CSV), ("A.JSON", "\ufeff" + json.dumps(JSON))])
def test_links_are_read_from_a_file(tmp_path, name, text):
    graph = build("ring", 4, 0)
    links = build_network_model("file", graph, 0, path=written(tmp_path, name, text), latency=0.125, bandwidth=4e6)
    forth = {(0, 1): 1.5, (1, 2): 0.625, (2, 3): 0.5, (3, 0): 0.375}
    back = {(1, 0): 1.5, (2, 1): 0.625, (3, 2): 1.25, (0, 3): 0.375}
    assert between(links, graph) == forth | back


def test_a_file_uses_the_names_of_the_graph(tmp_path):
    edges = written(tmp_path, "g.csv", "Bonn,Rome\nRome,Oslo\n")
    graph = build("file", 3, 0, path=edges)
    links = build_network_model("file", graph, 0, path=written(tmp_path, "l.csv", "Oslo,Rome,7,1e6\n"))
    number = {graph.nodes[node]["name"]: node for node in graph}
    assert between(links, graph)[number["Oslo"], number["Rome"]] == 8
    with pytest.raises(TopologyError, match=r"line 1 of .* names the node '0', which the graph does not have"):
        build_network_model("file", graph, 0, path=written(tmp_path, "n.csv", "0,1,7,1e6\n"))


def test_a_file_may_list_nothing(tmp_path):
    graph = build("ring", 4, 0)
    for path in (written(tmp_path, "a.csv", "# nothing\n"), written(tmp_path, "a.json", "[]")):
        links = build_network_model("file", graph, 0, path=path, stragglers=0.5, slowdown=3.0)
        assert between(links, graph) == between(build_network_model("uniform", graph, 0), graph)
        assert sorted(links.slowness.tolist()) == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "0 1 1 1\n", "links are read from .csv or .json, not from '{path}'"),
        ("a.csv", "from,to,latency,bandwidth\n", "line 1 of '{path}' is no link: it takes two nodes, a latency and"),
        ("a.csv", "0,1,1,1\n\n0,3,1\n", "line 3 of '{path}' is no link"),
        ("a.csv", "0,,1,1\n", "line 1 of '{path}' is no link"),
        ("a.csv", "0,7,1,1\n", "line 1 of '{path}' names the node '7', which the graph does not have"),
        ("a.csv", "0,2,1,1\n", "line 1 of '{path}' links '0' and '2', which are not linked in the graph"),
        ("a.csv", "0,0,1,1\n", "line 1 of '{path}' links '0' and '0', which are not linked in the graph"),
        ("a.csv", "0,1,1,1\n0,1,1,1\n", "line 2 of '{path}' lists the link from '0' to '1' once more; remove one"),
        ("a.csv", "0,1,-1,1\n", "line 1 of '{path}': latency must lie in 0 … 1e+06 seconds, not -1.0"),
        ("a.csv", "0,1,nan,1\n", "line 1 of '{path}': latency must lie in 0 … 1e+06 seconds, not nan"),
        ("a.csv", "0,1,1,0\n", "line 1 of '{path}': bandwidth must lie in 1 … 1e+12 bytes a second, not 0.0"),
        ("a.json", "[", "'{path}' is no JSON: "),
        ("a.json", "{}", "'{path}' must hold a list of links"),
        ("a.json", "[3]", "link 1 of '{path}' must be an object with 'from', 'to', 'latency' and 'bandwidth', not 3"),
        ("a.json", '[{"from": 0}]', "link 1 of '{path}' must be an object"),
        ("a.json", '[{"from": 0, "to": true}]', "link 1 of '{path}' must be an object"),
        ("a.json", '[{"from": 0, "to": 1, "latency": "1"}]', "link 1 of '{path}' must be an object"),
        ("a.json", '[{"from": 0, "to": 1, "speed": 1}]', "link 1 of '{path}' must be an object"),
        ("a.json", '[{"from": 0, "to": 1, "bandwidth": -2}]', "link 1 of '{path}': bandwidth must lie in 1 … 1e+12"),
        ("a.json", '[{"from": 0, "to": 1}, {"from": 1, "to": 3}]', "link 2 of '{path}' links '1' and '3', which are"),
    ],
)
def test_a_malformed_file_is_refused_with_a_sentence(tmp_path, name, text, sentence):
    path = written(tmp_path, name, text)
    with pytest.raises(TopologyError) as refused:
        build_network_model("file", build("ring", 4, 0), 0, path=path)
    assert sentence.format(path=path) in str(refused.value)


@pytest.mark.parametrize("name", ["none.csv", "none.json"])
def test_a_missing_file_is_refused_with_a_sentence(tmp_path, name):
    with pytest.raises(TopologyError, match=f"{name}' cannot be read: No such file"):
        build_network_model("file", build("ring", 4, 0), 0, path=str(tmp_path / name))


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(TopologyError, match="it is not a regular file"):
        build_network_model("file", build("ring", 4, 0), 0, path=str(tmp_path / name))


@pytest.mark.parametrize(("name", "sentence"), [("a.csv", "is not text in UTF-8"), ("a.json", "is no JSON: ")])
def test_a_file_that_is_no_text_is_refused(tmp_path, name, sentence):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(TopologyError, match=sentence):
        build_network_model("file", build("ring", 4, 0), 0, path=str(tmp_path / name))


@pytest.mark.parametrize("kind", NETWORK_MODELS)
@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"latency": -0.1}, "latency must lie in 0 … 1e+06 seconds, not -0.1"),
        ({"latency": float("inf")}, "not inf"),
        ({"bandwidth": 0.0}, "bandwidth must lie in 1 … 1e+12 bytes a second, not 0.0"),
        ({"bandwidth": float("nan")}, "not nan"),
        ({"stragglers": 1.5}, "stragglers must lie in 0 … 1 (a share of the nodes), not 1.5"),
        ({"stragglers": -0.5}, "not -0.5"),
        ({"slowdown": 0.5}, "slowdown must lie in 1 … 1e+06 times a nominal node's time, not 0.5"),
        ({"gradient_seconds": -1.0}, "gradient_seconds must lie in 0 … 1e+06 seconds, not -1.0"),
        ({"jitter": 1.0}, "the network model '{kind}' has no setting 'jitter'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_a_sentence(tmp_path, kind, setting, sentence):
    path = {"path": written(tmp_path, "a.csv", "")} if kind == "file" else {}
    with pytest.raises(TopologyError) as refused:
        build_network_model(kind, build("ring", 4, 0), 0, **path, **setting)
    assert sentence.format(kind=kind) in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "setting", "sentence"),
    [
        (
            "heterogeneous",
            {"spread": -1.0},
            "spread must lie in 0 … 5 (a standard deviation of the logarithm), not -1.0",
        ),
        ("heterogeneous", {"spread": 6.0}, "not 6.0"),
        ("wireless", {}, "unknown network model 'wireless'; there are: uniform, heterogeneous, file"),
        ("file", {}, "the network model 'file' needs the setting 'path'"),
    ],
)
def test_a_kind_that_cannot_be_is_refused_with_a_sentence(kind, setting, sentence):
    with pytest.raises(TopologyError) as refused:
        build_network_model(kind, build("ring", 4, 0), 0, **setting)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        ({"places": np.array([1])}, "as many latencies and bandwidths as places"),
        ({"places": np.array([1, 1])}, "ascend from 0 to 8 at most"),
        ({"places": np.array([2, 1])}, "ascend"),
        ({"places": np.array([-1, 1])}, "ascend"),
        ({"places": np.array([1, 9])}, "ascend"),
        ({"latency": np.array([0.0, -1.0])}, "finite numbers of seconds, 0 or more"),
        ({"gradient_seconds": float("nan")}, "finite numbers of seconds, 0 or more"),
        ({"nominal_latency": float("inf")}, "finite numbers of seconds, 0 or more"),
        ({"bandwidth": np.array([1.0, 0.0])}, "finite positive numbers"),
        ({"slowness": np.array([1.0, 0.0, 1.0])}, "finite positive numbers"),
        ({"nominal_bandwidth": 0.0}, "finite positive numbers"),
    ],
)
def test_links_that_cannot_be_are_refused_with_a_sentence(spoilt, sentence):
    right = {
        "nominal_latency": 0.0,
        "nominal_bandwidth": 1.0,
        "slowness": np.ones(3),
        "gradient_seconds": 0.0,
        "places": np.array([1, 2]),
        "latency": np.array([0.0, 1.0]),
        "bandwidth": np.array([1.0, 2.0]),
    }
    assert NetworkModel(**right).nodes == 3
    with pytest.raises(TopologyError, match=sentence):
        NetworkModel(**right | spoilt)


def test_a_matrix_of_another_size_is_refused():
    links = build_network_model("uniform", build("ring", 4, 0), 0)
    with pytest.raises(TopologyError, match="links on 4 nodes carry no messages of a 5 × 5 matrix"):
        links.delays(sparse.csr_array((5, 5)), 1)


def test_splitmix_is_the_published_one():
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert _splitmix(np.full(4, 1234567, dtype=np.uint64), np.arange(4)).tolist() == expected


def test_the_draws_of_a_recorded_run_do_not_change():
    links = build_network_model("heterogeneous", build("path", 2, 0), 7, stragglers=0.5)
    drawn = [links.latency[0], links.bandwidth[0], *links.slowness]
    np.testing.assert_allclose(drawn, [0.011130745209159219, 9164549.768889133, 10, 1], rtol=1e-12)
