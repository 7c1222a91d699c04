import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chisquare

from rewindnet import topologies
from rewindnet.topologies.routing import adjacency_of_weights, spreading_tree, token_path


def adjacency_of(graph):
    return adjacency_of_weights(topologies.mix("metropolis-hastings", graph))


def connected(nodes, seed):
    graph = nx.Graph(nx.random_labeled_tree(nodes, seed=seed))
    return nx.compose(graph, nx.gnp_random_graph(nodes, 0.2, seed=seed))


@st.composite
def cases(draw):
    nodes = draw(st.integers(2, 12))
    return connected(nodes, draw(st.integers(0, 1000))), {
        "home": draw(st.integers(0, nodes - 1)),
        "hops": draw(st.integers(1, 15)),
        "seed": draw(st.integers(0, 1000)),
        "visit": draw(st.sampled_from([0.0, 0.2, 0.7, 1.0])),
        "routing": draw(st.sampled_from(["others", "neighbours"])),
        "start": draw(st.sampled_from(["u", "random"])),
        "cap": draw(st.sampled_from([None, 0, 1, 3])),
    }


@given(cases())
@examples(60)
def test_a_token_moves_along_edges_and_relays_by_shortest_paths(case):
    graph, asked = case
    path = token_path(adjacency_of(graph), **asked)
    before = (asked["home"], *path.holders)
    for one, other in zip(before, path.holders, strict=False):
        assert one == other or graph.has_edge(one, other)
    assert sum(path.works) == asked["hops"]
    assert path.works[-1]
    stops = [asked["home"], *(holder for holder, works in zip(path.holders, path.works, strict=True) if works)]
    steps = np.flatnonzero(path.works)
    lengths = np.diff(np.concatenate([[-1], steps]))
    for one, other, rounds in zip(stops, stops[1:], lengths, strict=False):
        assert rounds == max(1, nx.shortest_path_length(graph, one, other))
    if asked["cap"] is not None:
        assert len(path.visits(asked["home"])) <= asked["cap"]
    if asked["start"] == "u" and asked["cap"] != 0:
        assert path.holders[0] == asked["home"]
        assert path.works[0]


@pytest.mark.parametrize(("start", "first"), [("u", 1), ("random", 0)])
def test_the_number_of_visits_is_binomial(start, first):
    adjacency, hops, p, runs = adjacency_of(nx.cycle_graph(6)), 12, 0.3, 600
    counts = np.zeros(hops + 1)
    for seed in range(runs):
        path = token_path(adjacency, 2, hops, seed, visit=p, start=start)
        counts[len(path.visits(2))] += 1
    expected = runs * np.concatenate([np.zeros(first), binom(hops - first, p).pmf(np.arange(hops + 1 - first))])
    likely = expected > 5
    assert counts[~likely].sum() <= 3 * expected[~likely].sum() + 5
    observed, theory = counts[likely], expected[likely]
    assert chisquare(observed, theory * observed.sum() / theory.sum()).pvalue > 1e-3


def test_others_are_visited_evenly_whatever_the_graph():
    adjacency, counts = adjacency_of(nx.star_graph(5)), np.zeros(6)
    for seed in range(100):
        path = token_path(adjacency, 3, 20, seed, visit=0.1, start="random")
        for holder, works in zip(path.holders, path.works, strict=True):
            counts[holder] += works
    assert chisquare(np.delete(counts, 3)).pvalue > 1e-3


def test_a_walk_over_neighbours_is_the_walk_of_its_transition_matrix():
    graph, home, p = nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4)]), 1, 0.25
    moves = nx.to_numpy_array(graph, nodelist=range(5))
    moves = (1 - p) * moves / moves.sum(axis=1, keepdims=True)
    moves[:, home] += p
    adjacency, expected, counts, hops, runs = adjacency_of(graph), np.eye(5)[home], np.zeros(5), 4, 1000
    for seed in range(runs):
        path = token_path(adjacency, home, hops, seed, visit=p, routing="neighbours", start="random")
        counts[path.holders[-1]] += 1
    for _ in range(hops):
        expected = expected @ moves
    assert chisquare(counts, runs * expected).pvalue > 1e-3


@given(st.integers(2, 12), st.integers(0, 1000), st.data())
@examples(50)
def test_a_model_spreads_in_as_many_rounds_as_the_farthest_node_is_away(nodes, seed, data):
    graph = connected(nodes, seed)
    root = data.draw(st.integers(0, nodes - 1))
    tree = spreading_tree(adjacency_of(graph), root)
    away = nx.single_source_shortest_path_length(graph, root)
    assert list(tree.depths) == [away[node] for node in range(nodes)]
    for node, parent in enumerate(tree.parents):
        assert node == parent == root or (graph.has_edge(node, parent) and away[parent] == away[node] - 1)


def test_links_are_those_of_the_weights_either_way():
    W = topologies.mix("lazy-metropolis-hastings", nx.path_graph(4))
    assert (adjacency_of_weights(W).toarray() == nx.to_numpy_array(nx.path_graph(4))).all()
    W[0, 1] = 0.0
    assert adjacency_of_weights(W).toarray()[0, 1] == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"visit": 1.5}, "probability of a visit"),
        ({"home": 4}, "its home is node 4"),
        ({"routing": "anywhere"}, "routed by others or neighbours"),
        ({"start": "v"}, "starts at u or random"),
        ({"hops": 0}, "at least one hop"),
        ({"cap": -1}, "number of times"),
    ],
)
def test_what_no_token_can_do_is_a_sentence(changed, said):
    asked = {"home": 0, "hops": 3, "seed": 0, "visit": 0.5, **changed}
    with pytest.raises(topologies.TopologyError, match=said):
        token_path(adjacency_of(nx.path_graph(4)), **asked)


def test_a_token_needs_a_connected_graph():
    apart = adjacency_of_weights(topologies.mix("metropolis-hastings", nx.Graph([(0, 1), (2, 3)])))
    with pytest.raises(topologies.TopologyError, match="reaches 2 of 4 nodes"):
        token_path(apart, 0, 3, 0, visit=0.5)
    with pytest.raises(topologies.TopologyError, match="connected"):
        spreading_tree(apart, 0)
