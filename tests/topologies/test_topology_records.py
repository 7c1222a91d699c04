"""Records and schedules: what is written down of a topology, and read again."""

import copy
import json

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from rewindnet.topologies import Static, TopologyError, build, from_record, mix, record


@given(
    kind=st.sampled_from(["ring", "barabasi-albert", "complete", "exponential"]),
    rule=st.sampled_from(["metropolis-hastings", "lazy-max-degree"]),
    nodes=st.integers(3, 40),
    seed=st.integers(0, 1000),
)
@examples(40)
def test_a_record_survives_json(kind, rule, nodes, seed):
    graph = build(kind, nodes, seed)
    weights = mix(rule, graph)
    written = json.loads(json.dumps(record(graph, weights)))
    again, W = from_record(written)
    assert nx.utils.graphs_equal(again, graph)
    assert list(again) == list(graph)
    assert W.shape == weights.shape
    assert (weights != W).nnz == 0
    assert record(again, W) == written


def test_a_record_says_what_there_is():
    graph = build("path", 3, 0)
    assert record(graph, mix("max-degree", graph)) == {
        "nodes": 3,
        "edges": [[0, 1], [1, 2]],
        "weights": [
            [0, 0, 1 - 1 / 3], [0, 1, 1 / 3], [1, 0, 1 / 3], [1, 1, 1 - 2 / 3],
            [1, 2, 1 / 3], [2, 1, 1 / 3], [2, 2, 1 - 1 / 3],
        ],
        "spectral_gap": pytest.approx(1 / 3),
        "symmetric": True,
    }  # fmt: skip


def test_names_and_asymmetry_are_recorded(tmp_path):
    (tmp_path / "g.csv").write_text("Ann,Bob\n")
    (tmp_path / "w.csv").write_text("0.5,0.5\n0.25,0.75\n")
    graph = build("file", 2, 0, path=str(tmp_path / "g.csv"))
    written = record(graph, mix("file", graph, path=str(tmp_path / "w.csv"), symmetric=False))
    assert written["names"] == ["Ann", "Bob"]
    assert written["symmetric"] is False
    again, W = from_record(json.loads(json.dumps(written)))
    assert dict(again.nodes("name")) == {0: "Ann", 1: "Bob"}
    assert W[1, 0] == 0.25


def test_what_is_no_mixing_matrix_is_not_recorded():
    with pytest.raises(TopologyError, match="not 2 × 3"):
        record(build("path", 2, 0), sparse.csr_array(np.ones((2, 3))))


def spoilt(**changes):
    graph = build("ring", 4, 0)
    data = copy.deepcopy(record(graph, mix("metropolis-hastings", graph)))
    return {key: value for key, value in {**data, **changes}.items() if value is not ...}


THIRD = 1 / 3
RING = [[0, 1], [0, 3], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "needs the key 'nodes'"),
        (spoilt(nodes=...), "needs the key 'nodes'"),
        (spoilt(edges=...), "needs the key 'edges'"),
        (spoilt(weights=...), "needs the key 'weights'"),
        (spoilt(symmetric=...), "needs the key 'symmetric'"),
        (spoilt(spectral_gap=...), "needs the key 'spectral_gap'"),
        (spoilt(nodes=True), "'nodes' in a topology's record is a int, not True"),
        (spoilt(nodes=0), "at least 1, not 0"),
        (spoilt(nodes=3), "with nodes from 0 to 2; number 1 is [0, 3]"),
        (spoilt(nodes=5), "row 4 sums to 0.0"),
        (spoilt(edges="none"), "'edges' in a topology's record is a list"),
        (spoilt(edges=[*RING, [0, 4]]), "number 4 is [0, 4]"),
        (spoilt(edges=[*RING, [0, -1]]), "number 4 is [0, -1]"),
        (spoilt(edges=[*RING, [0, 1.0]]), "number 4 is [0, 1.0]"),
        (spoilt(edges=[*RING, [0]]), "number 4 is [0]"),
        (spoilt(edges=[*RING, None]), "number 4 is None"),
        (spoilt(edges=[*RING, [1, 0]]), "each of its edges once"),
        (spoilt(edges=[*RING, [2, 2]]), "node 2 is linked to itself"),
        (spoilt(edges=RING[1:]), "entry (0, 1) of the mixing matrix must be 0"),
        (spoilt(weights=[]), "row 0 sums to 0.0"),
        (spoilt(weights=[[0, 0, "1"]]), "number 0 is [0, 0, '1']"),
        (spoilt(weights=[[0, 0, 10**400]]), "'weights' in a topology's record are [i, j, weight]"),
        (spoilt(weights=[[0, 0, True]]), "number 0 is [0, 0, True]"),
        (spoilt(weights=[[0, 0, 0.5], [0, 0, 0.5]]), "each weight that is not 0 once"),
        (spoilt(weights=[[0, 0, 0.0]]), "each weight that is not 0 once"),
        (spoilt(weights=[[0, 0, float("nan")]]), "must be finite"),
        (spoilt(names=["a", "b", "c"]), "4 different names"),
        (spoilt(names=["a", "b", "c", "c"]), "4 different names"),
        (spoilt(names=["a", "b", "c", []]), "4 different names"),
        (spoilt(symmetric="yes"), "'symmetric' in a topology's record is a bool, not 'yes'"),
        (spoilt(symmetric=False), "says that its weights are not symmetric, but they are"),
        (spoilt(spectral_gap=0.5), "claims the spectral gap 0.5, but its weights have 0.66"),
        (spoilt(spectral_gap=1), "claims the spectral gap 1.0, but"),
        (spoilt(spectral_gap=float("nan")), "claims the spectral gap nan"),
        (spoilt(spectral_gap=None), "is a float, not None"),
    ],
)  # fmt: skip
def test_a_bad_record_is_refused_with_a_sentence(data, sentence):
    with pytest.raises(TopologyError) as refused:
        from_record(data)
    assert sentence in str(refused.value)


def test_a_static_schedule_is_the_same_each_round():
    graph = build("ring", 6, 0)
    schedule = Static(graph, mix("metropolis-hastings", graph))
    assert schedule.nodes == 6
    assert schedule.matrix(0) is schedule.matrix(99)


def test_a_schedule_needs_the_matrix_of_its_graph():
    with pytest.raises(TopologyError, match="a graph of 3 nodes cannot have a mixing matrix of 4 × 4"):
        Static(build("ring", 3, 0), mix("max-degree", build("ring", 4, 0)))
