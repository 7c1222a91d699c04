"""A graph file of the user's in a scenario: it decides the number of clients, and its nodes keep their names."""

import networkx as nx
import pytest

import rewindnet
from rewindnet.errors import Notice, UserError
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.scenario.network_setup import build_network


@pytest.fixture
def scenario(tmp_path):
    nx.write_graphml(nx.florentine_families_graph(), tmp_path / "a.graphml")
    return rewindnet.load({"topology": {"kind": "file", "path": str(tmp_path / "a.graphml")}})


def test_a_graph_file_decides_the_number_of_clients(scenario):
    network = build_network(scenario)
    assert network.nodes == len(network.samples) == 15
    assert network.topology.names == tuple(nx.florentine_families_graph())
    assert build_planned_network(scenario).nodes == 15
    declared = rewindnet.load(scenario, partition={"kind": "declared", "samples": 70})
    assert build_planned_network(declared).samples.tolist() == [70] * 15


@pytest.mark.parametrize(
    "partition",
    [{"clients": 5}, {"kind": "size", "partition_sizes": [9] * 5}],
)
def test_a_number_of_clients_that_is_given_is_not_changed(scenario, partition):
    with pytest.raises(UserError, match="has 15 nodes, but the network has 5"):
        build_network(rewindnet.load(scenario, partition=partition))


def test_nodes_from_zero_have_no_names(tmp_path):
    nx.write_edgelist(nx.cycle_graph(6), tmp_path / "a.txt")
    scenario = rewindnet.load({"topology": {"kind": "file", "path": str(tmp_path / "a.txt")}})
    network = build_network(scenario)
    assert (network.nodes, network.topology.names) == (6, None)


def test_relative_paths_are_looked_for_beside_the_scenario_and_then_here(tmp_path, monkeypatch):
    (tmp_path / "apart").mkdir()
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "apart" / "s.yaml"
    file.write_text("topology: {kind: file, path: a.txt, schedule: {kind: graphs, graphs: [a.txt]}}\n")
    nx.write_edgelist(nx.cycle_graph(6), "a.txt", data=False)
    assert build_network(rewindnet.load(file)).nodes == 6
    nx.write_edgelist(nx.cycle_graph(7), "apart/a.txt", data=False)
    with pytest.warns(Notice, match="is there twice"):
        assert build_network(rewindnet.load(file)).nodes == 7


def test_more_rounds_than_memory_are_refused():
    with pytest.raises(UserError, match=r"1e\+13 rounds of 1 local steps would take .* GB of memory"):
        build_network(rewindnet.load({"learning": {"rounds": 10**13}}))
