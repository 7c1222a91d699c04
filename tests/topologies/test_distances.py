"""Distances and mixing, against networkx and dense powers."""

import networkx as nx
import numpy as np
import pytest

from rewindnet.topologies import EdgeGraph, Static, adjacency, build, build_light, mix, schedule
from rewindnet.topologies.distances import hop_distances, rounds_to_mix
from rewindnet.topologies.graphs.edges import edge_array


@pytest.mark.parametrize("kind", ["ring", "path", "star", "complete", "barabasi-albert", "random-regular"])
def test_distances_are_those_of_networkx(kind):
    graph = build(kind, 30, 1)
    for node in (0, 7, 29):
        expected = nx.single_source_shortest_path_length(graph, node)
        assert hop_distances(adjacency(graph), node).tolist() == [expected[other] for other in range(30)]


@pytest.mark.parametrize("kind", ["static", "link-failures", "matchings"])
def test_rounds_to_mix_are_counted_on_the_realised_matrices(kind):
    graph = build("watts-strogatz", 24, 2)
    mixing = schedule(kind, graph, mix("metropolis-hastings", graph), 5)
    found = rounds_to_mix(mixing, np.arange(24), 60)
    P, expected = np.eye(24), np.full(24, -1)
    for t in range(61):
        share = P.sum(axis=0) ** 2 / (P**2).sum(axis=0)
        expected[(expected < 0) & (share >= 12)] = t
        P = mixing.matrix(t).toarray() @ P
    assert (found == expected).all()
    assert (expected > 0).all()


def test_what_does_not_mix_in_time_says_so():
    graph = build("ring", 200, 0)
    assert rounds_to_mix(Static(graph, mix("metropolis-hastings", graph)), np.array([3]), 20).tolist() == [-1]


@pytest.mark.parametrize("kind", ["ring", "torus", "exponential", "random-regular", "watts-strogatz"])
def test_a_light_graph_is_the_same_graph(kind):
    light, heavy = build_light(kind, 36, 4), build(kind, 36, 4)
    assert isinstance(light, EdgeGraph) == (kind != "watts-strogatz")
    assert set(map(frozenset, edge_array(light).tolist())) == set(map(frozenset, heavy.edges()))
    assert (mix("metropolis-hastings", light) != mix("metropolis-hastings", heavy)).nnz == 0
