"""Every family, at every size: what comes out is a topology, and what cannot be is refused with a sentence."""

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.topologies import FAMILIES, TopologyError, build, mix
from rewindnet.topologies.graphs import deterministic as graphs
from rewindnet.topologies.graphs import random as random_graphs
from rewindnet.topologies.graphs.edges import edge_array

SIZES = {
    "ring": st.integers(3, 60),
    "path": st.integers(2, 60),
    "star": st.integers(2, 60),
    "complete": st.integers(2, 30),
    "grid": st.integers(2, 60),
    "torus": st.tuples(st.integers(3, 7), st.integers(3, 7)).map(lambda sides: sides[0] * sides[1]),
    "hypercube": st.integers(1, 6).map(lambda power: 2**power),
    "exponential": st.integers(2, 60),
    "erdos-renyi": st.integers(16, 60),
    "watts-strogatz": st.integers(7, 60),
    "barabasi-albert": st.integers(3, 60),
    "random-regular": st.integers(9, 60),
}
RANDOM = ["erdos-renyi", "watts-strogatz", "barabasi-albert", "random-regular"]


def test_every_family_is_tried_here():
    assert set(SIZES) | {"file", "largest-part"} == set(FAMILIES)


@pytest.mark.parametrize("kind", SIZES)
@given(data=st.data(), seed=st.integers(0, 2**40))
@examples(15)
def test_a_family_gives_the_same_topology_for_the_same_seed(kind, data, seed):
    nodes = data.draw(SIZES[kind])
    graph = build(kind, nodes, seed)
    assert type(graph) is nx.Graph
    assert list(graph) == list(range(nodes))
    assert nx.number_of_selfloops(graph) == 0
    assert nx.is_connected(graph)
    assert list(build(kind, nodes, seed).edges()) == list(graph.edges())


@pytest.mark.parametrize("kind", SIZES)
def test_the_seed_matters_to_random_families_only(kind):
    drawn = {frozenset(map(frozenset, build(kind, 64, seed).edges())) for seed in range(4)}
    assert len(drawn) == (4 if kind in RANDOM else 1)


@pytest.mark.parametrize(
    ("kind", "nodes", "parameters", "oracle"),
    [
        ("ring", 7, {}, nx.cycle_graph(7)),
        ("star", 7, {}, nx.star_graph(6)),
        ("grid", 12, {}, nx.grid_2d_graph(3, 4)),
        ("grid", 12, {"rows": 6}, nx.grid_2d_graph(6, 2)),
        ("grid", 7, {}, nx.path_graph(7)),
        ("torus", 12, {}, nx.grid_2d_graph(3, 4, periodic=True)),
        ("torus", 30, {"rows": 10}, nx.grid_2d_graph(10, 3, periodic=True)),
        ("hypercube", 16, {}, nx.hypercube_graph(4)),
        ("exponential", 12, {}, nx.circulant_graph(12, [1, 2, 4, 8])),
        ("exponential", 16, {}, nx.circulant_graph(16, [1, 2, 4, 8])),
        ("random-regular", 9, {"degree": 8}, nx.complete_graph(9)),
        ("erdos-renyi", 9, {"p": 1.0}, nx.complete_graph(9)),
        ("watts-strogatz", 12, {"p": 0.0}, nx.circulant_graph(12, [1, 2, 3])),
    ],
)
def test_a_family_is_the_textbook_one(kind, nodes, parameters, oracle):
    # Our numbering is the oracle's order of nodes: row by row for lattices, binary for the hypercube.
    expected = nx.relabel_nodes(oracle, {name: place for place, name in enumerate(oracle)})
    assert nx.utils.graphs_equal(nx.Graph(build(kind, nodes, 0, **parameters).edges), nx.Graph(expected.edges))


@pytest.mark.parametrize("kind", ["path", "star", "complete", "grid", "hypercube", "exponential", "erdos-renyi"])
def test_one_node_alone_is_a_network(kind):
    assert nx.utils.graphs_equal(build(kind, 1, 0), nx.empty_graph(1))
    assert mix("metropolis-hastings", build(kind, 1, 0)).toarray().tolist() == [[1.0]]


def test_the_centre_of_a_star_is_node_0():
    assert (graphs.star(9, 0).edges == 0).sum() == 8


@given(nodes=st.integers(4, 40), seed=st.integers(0, 1000), data=st.data())
@examples(60)
def test_a_random_regular_graph_has_one_degree(nodes, seed, data):
    degree = data.draw(st.integers(3, nodes - 1).filter(lambda degree: nodes * degree % 2 == 0))
    assert set(dict(build("random-regular", nodes, seed, degree=degree).degree()).values()) == {degree}


def test_random_regular_links_are_equally_likely():
    # 4-regular on 7 nodes: each of 21 links is there with probability 2/3, by symmetry.
    draws = 600
    present = sum(
        nx.to_numpy_array(graphs_of) for graphs_of in (build("random-regular", 7, s, degree=4) for s in range(draws))
    )
    share = present[np.triu_indices(7, 1)] / draws
    assert np.abs(share - 2 / 3).max() < 5 * np.sqrt(2 / 9 / draws)


def test_barabasi_albert_has_the_links_of_its_attachments():
    assert build("barabasi-albert", 30, 3, m=3).number_of_edges() == 3 + 3 * 26


def test_erdos_renyi_is_redrawn_until_connected():
    # At p = ln(N)/N about a third of all draws is connected, so some of these seeds need several.
    for seed in range(10):
        assert nx.is_connected(build("erdos-renyi", 30, seed, p=np.log(30) / 30))


@pytest.mark.parametrize(
    ("kind", "nodes", "parameters", "sentence"),
    [
        ("ring", 2, {}, "a ring has at least 3 nodes, not 2"),
        ("path", 0, {}, "a path has at least 1 node, not 0"),
        ("star", 0, {}, "a star has at least 1 node, not 0"),
        ("ring", 1, {}, "a ring has at least 3 nodes, not 1; one node alone is a complete graph, a path or a star"),
        ("grid", 12, {"rows": 5}, "a grid of 12 nodes can have 1, 2, 3, 4, 6 or 12 rows, not 5"),
        ("grid", 12, {"rows": 0}, "not 0"),
        ("torus", 8, {}, "a torus has at least 9 nodes, not 8"),
        ("torus", 10, {}, "both sides at least 3; 10 nodes cannot be arranged in this way"),
        ("torus", 12, {"rows": 2}, "a torus of 12 nodes can have 3 or 4 rows, not 2"),
        ("torus", 9, {"rows": 9}, "a torus of 9 nodes can have 3 rows, not 9"),
        ("hypercube", 0, {}, "at least 1 node"),
        ("hypercube", 12, {}, "a power of two nodes, for example 8 or 16, not 12"),
        ("erdos-renyi", 0, {}, "an erdos-renyi graph has at least 1 node, not 0"),
        ("erdos-renyi", 9, {"p": 0.0}, "a p above 0 and at most 1, not 0.0"),
        ("erdos-renyi", 9, {"p": 1.5}, "not 1.5"),
        ("erdos-renyi", 9, {"p": float("nan")}, "not nan"),
        ("erdos-renyi", 50, {"p": 0.01}, "p = 0.01 is too small; the connectivity threshold is ln(N)/N = 0.0782"),
        ("watts-strogatz", 1, {}, "at least 3 nodes"),
        ("watts-strogatz", 6, {}, "below the node count 6, not 6"),
        ("watts-strogatz", 9, {"k": 3}, "takes an even k"),
        ("watts-strogatz", 9, {"k": 0}, "at least 2"),
        ("watts-strogatz", 9, {"p": -0.1}, "a p between 0 and 1, not -0.1"),
        ("barabasi-albert", 1, {}, "at least 2 nodes"),
        ("barabasi-albert", 5, {"m": 0}, "an m of at least 1"),
        ("barabasi-albert", 5, {"m": 5}, "below the node count 5, not 5"),
        ("random-regular", 1, {}, "at least 2 nodes"),
        ("random-regular", 8, {}, "a degree of at least 2 and below the node count 8, not 8"),
        ("random-regular", 8, {"degree": 1}, "a degree of at least 2"),
        ("random-regular", 9, {"degree": 3}, "9 × 3 is odd, choose degree 2 or 10 nodes"),
        ("rng", 9, {}, "unknown topology 'rng' (did you mean 'ring'?); there are: ring, path, star"),
        ("ring", 9, {"p": 0.1}, "the topology 'ring' has no setting 'p'; it takes: none"),
        ("grid", 9, {"row": 3}, "has no setting 'row' (did you mean 'rows'?); it takes: rows"),
        ("file", 9, {}, "the topology 'file' needs the setting 'path'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_sentence(kind, nodes, parameters, sentence):
    with pytest.raises(TopologyError) as refused:
        build(kind, nodes, 0, **parameters)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "parameters", "advice"),
    [
        ("watts-strogatz", {"k": 2, "p": 1.0}, "choose a k above 2 or a p below 1.0"),
        ("random-regular", {"degree": 2}, "choose a degree above 2"),
    ],
)  # fmt: skip
def test_a_family_that_stays_disconnected_gives_up(monkeypatch, kind, parameters, advice):
    monkeypatch.setattr(random_graphs, "DRAWS", 2)
    with pytest.raises(TopologyError, match=f"no connected graph on 3000 nodes in 2 draws: {advice}"):
        build(kind, 3000, 0, **parameters)


def test_build_checks_what_a_family_returns(monkeypatch):
    monkeypatch.setitem(FAMILIES.entries, "apart", lambda nodes, seed: nx.empty_graph(nodes))
    monkeypatch.setitem(FAMILIES.entries, "short", lambda nodes, seed: nx.path_graph(nodes - 1))
    with pytest.raises(TopologyError, match="'apart' of 4 nodes is not connected"):
        build("apart", 4, 0)
    with pytest.raises(TopologyError, match="'short' has 3 nodes, but the network has 4"):
        build("short", 4, 0)


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (nx.DiGraph([(0, 1)]), "undirected"),
        (nx.MultiGraph([(0, 1)]), "without parallel edges"),
        (nx.Graph([(1, 0)]), "numbered 0 to 1, in order"),
        (nx.Graph([("a", "b")]), "numbered 0 to 1, in order"),
        (nx.Graph([(0, 1), (1, 1)]), "node 1 is linked to itself"),
    ],
)
def test_what_is_no_topology_is_told_apart(graph, sentence):
    with pytest.raises(TopologyError, match=sentence):
        edge_array(graph)


def test_a_large_graph_is_quick():
    graph = build("random-regular", 20_000, 0)
    assert graph.number_of_edges() == 80_000
