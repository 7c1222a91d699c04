"""One network setup, whether it is for a run or for a plan."""

import json
from pathlib import Path

import numpy as np
import pytest

from rewindnet.certificates.training_record import training_record
from rewindnet.errors import UserError
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.network_setup import build_network
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.topologies.graphs.edges import EdgeGraph, edge_array

SCENARIO = {
    "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
    "partition": {"kind": "dirichlet", "clients": 6, "min_partition_size": 2},
    "topology": "barabasi-albert",
    "learning": {"rounds": 8, "radius": 9.0},
    "deletion": {"client": 2, "samples": 0.5},
    "unlearning": ["r2d"],
}


def scenario(**changes):
    return resolve({**json.loads(json.dumps(SCENARIO)), **changes})


def facts(run):
    """What a training run says, without the objects that draw rounds."""
    return {
        **training_record(run),
        "samples": run.samples.tolist(),
        "deleted": run.deleted.tolist(),
        "matrices": [run.mixing.matrix(t).toarray().tolist() for t in range(run.rounds)],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"topology": {"kind": "ring", "schedule": "link-failures"}},
        {"data": {"source": "digits", "limit": 300, "backdoor": {"client": 2, "samples": 5}}},
        {"deletion": {"client": 2, "samples": {"class": 2}}},
        {"deletion": {"client": 2, "samples": {"indices": [0]}}},
    ],
)
def test_a_plan_and_a_run_know_the_same_of_learning(changes):
    planned, run = build_planned_network(scenario(**changes)), build_run(scenario(**changes))
    assert facts(planned.training_run) == facts(run.network.training_run)
    assert planned.message_bytes == run.network.message_bytes
    assert np.array_equal(planned.features.x, run.network.features.x)
    assert edge_array(planned.graph).tolist() == edge_array(run.network.graph).tolist()


def test_a_graph_that_never_changes_is_planned_from_its_edges_alone():
    assert isinstance(build_network(scenario(topology="ring"), planning=True).graph, EdgeGraph)
    assert not isinstance(build_network(scenario(topology="ring")).graph, EdgeGraph)


def test_the_names_of_nodes_are_passed_on(tmp_path: Path):
    (tmp_path / "wards.csv").write_text("a,b\nb,c\nc,d\nd,e\ne,f\n")
    topology = {"kind": "file", "path": str(tmp_path / "wards.csv")}
    for planning in (True, False):
        network = build_network(scenario(topology=topology), planning=planning)
        assert network.names == dict(enumerate("abcdef"))
    assert build_network(scenario()).names == {}


def test_several_requests_and_departures_are_described_one_by_one():
    requests = [{"client": 1, "samples": 2, "round": 3}, {"client": 4, "samples": "all"}]
    network = build_network(scenario(deletion={"requests": requests}))
    assert [run.rounds for run in network.training_runs] == [3, 8]
    assert network.training_runs[0].deleted.tolist() == [0, 2, 0, 0, 0, 0]
    assert network.training_run.deleted[4] == network.samples[4]
    assert network.training_run.already_deleted(5).tolist() == [0, 2, 0, 0, 0, 0]
    assert network.remaining is network.mixing
    left = build_network(scenario(topology="complete", deletion={"client": 1, "samples": "all", "departure": "leave"}))
    assert left.training_run.departed == (1,)
    assert left.training_run.mixing is left.remaining
    assert left.training_run.mixing_before is left.mixing
    assert left.remaining.matrix(0)[[1]].toarray().tolist() == [[0, 1, 0, 0, 0, 0]]


def test_clients_may_be_declared_for_a_plan_alone():
    declared = {"data": "declared", "partition": {"kind": "declared", "clients": 6, "samples": 10}}
    network = build_network(scenario(**declared), planning=True)
    assert network.samples.tolist() == [10] * 6
    assert not len(network.partition)
    assert network.training_run.deleted.tolist() == [0, 0, 5, 0, 0, 0]
    with pytest.raises(UserError, match="holds no samples to learn from"):
        build_network(scenario(**declared))


@pytest.mark.parametrize("planning", [True, False])
def test_what_does_not_fit_is_refused_alike(planning: bool):
    with pytest.raises(UserError, match=r"deletion\.client 9 does not exist; clients are 0 to 5"):
        build_network(scenario(deletion={"client": 9}), planning=planning)
    with pytest.raises(UserError, match="the last request arrives at round 3"):
        build_network(scenario(deletion={"client": 1, "samples": 1, "round": 3}), planning=planning)
