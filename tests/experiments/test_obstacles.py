"""Everything that keeps a scenario from running is said at once, a line for each obstacle with its cure."""

import networkx as nx
import numpy as np
import pytest
from typer.testing import CliRunner

from rewindnet.errors import UserError
from rewindnet.experiments.cli import app
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.topologies import mix

LEAVING = {
    "name": "leaving",
    "data": {"source": "synthetic", "samples": 100, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": {"kind": "star"},
    "learning": {"rounds": 6},
    "deletion": {"client": 2, "samples": 3, "departure": "leave"},
    "unlearning": [
        {"method": "r2d"},
        {"method": "r2d", "view": "node:2", "bound": "instance"},
        {"method": "r2d", "view": "average"},
        {"method": "r2d", "bound": "instance", "rewind": 0.5},
    ],
}
#: The cure of each obstacle, and words of its sentence.
CURES = {
    "deletion.samples=all": "a client that leaves deletes all of its samples; give samples: all",
    "topology.mixing=metropolis-hastings": "the mixing rule file has no weights for the network that remains",
    "learning.radius=5.0": "needs a bound on the models: set learning.radius",
    "unlearning.1.view=joint": "the view node:2 shows nothing: node 2 has left",
    "unlearning.2.view=joint": "with departure leave use joint",
    "deletion.client=2": None,
}


def told(build, described, cured):
    """The sentences of one refusal; none if the scenario is not refused."""
    try:
        build(resolve(described, cured))
    except UserError as problem:
        first, *lines = str(problem).splitlines()
        assert not lines or first == f"{len(lines)} obstacles keep this scenario from running:"
        assert all(line.startswith("  - ") for line in lines)
        return [line.removeprefix("  - ") for line in lines] or [first]
    return []


@pytest.fixture
def described(tmp_path):
    weights = tmp_path / "weights.npy"
    np.save(weights, mix("metropolis-hastings", nx.star_graph(4)).toarray())
    return {**LEAVING, "topology": {"kind": "star", "mixing": {"kind": "file", "path": str(weights)}}}


def test_a_departure_is_refused_once_with_all_of_its_obstacles(described):
    cures = list(CURES)
    for done in range(len(cures)):
        found = told(build_run, described, cures[:done])
        expected = [words for cure, words in CURES.items() if words and cure not in cures[:done]]
        assert len(found) == len(expected)
        assert all(any(words in line for line in found) for words in expected), found
    assert told(build_run, described, cures) == []


def test_an_obstacle_that_ends_the_check_comes_with_those_before_it(described):
    found = told(build_run, {**described, "deletion": {**LEAVING["deletion"], "client": 9}}, ["learning.radius=0.5"])
    assert len(found) == 2
    assert "give samples: all" in found[0]
    assert "deletion.client 9 does not exist" in found[1]


def test_methods_are_all_checked(described):
    staying = {**described, "deletion": {"client": 2, "samples": 3}}
    rows = [{"method": "r2d", "view": "node:7"}, {"method": "r2d", "view": "transcript"}, {"method": "newton"}]
    found = told(build_run, {**staying, "unlearning": rows}, [])
    assert len(found) == len(rows)


def test_a_plan_names_all_obstacles_too():
    found = told(build_planned_network, LEAVING, ["learning.sampling={kind: poisson, batch: 4}"])
    assert [any(words in line for line in found) for words in ("minibatches", "learning.radius", "samples: all")] == (
        [True] * 3
    )
    cured = ["deletion.samples=all", "learning.radius=5.0"]
    assert told(build_planned_network, LEAVING, cured) == []


def test_the_command_prints_a_line_for_each_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "s.yaml"
    file.write_text(resolve(LEAVING).to_yaml())
    done = CliRunner().invoke(app, ["run", "s.yaml"])
    assert done.exit_code == 2
    first, *lines = done.stderr.splitlines()
    assert first == "rewindnet: 4 obstacles keep this scenario from running:"
    assert len(lines) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]
