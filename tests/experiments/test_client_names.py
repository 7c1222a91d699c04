"""Clients and classes by the names of data and graph files, in scenarios, records and sentences."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from rewindnet.certificates import violation
from rewindnet.errors import Notice, UserError
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.scenario.names import node_of
from rewindnet.experiments.scenario.network_setup import build_network
from rewindnet.experiments.scenario.views import build_methods
from rewindnet.experiments.scenario.yaml_files import resolve

NAMES = ["ada", "bob", "cy", "dee"]


def data(folder: Path, client: Any, **arrays: Any) -> dict[str, Any]:
    client = np.asarray(client)
    generator = np.random.default_rng(0)
    y = np.arange(len(client)) % 2
    x = generator.standard_normal((len(client), 3)) + y[:, None]
    np.savez(folder / "own.npz", **{"x": x, "y": y, "client": client, **arrays})
    return {
        "name": "named",
        "data": {"source": "npz", "path": str(folder / "own.npz")},
        "partition": "natural",
        "topology": "ring",
        "learning": {"rounds": 4},
        "deletion": {"samples": 2},
        "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.1}],
        "measures": {"membership": False},
    }


def command(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "240"})
    return done.exit_code, done.output


def in_file(folder: Path, scenario: dict[str, Any]) -> Path:
    (folder / "s.yaml").write_text(yaml.safe_dump(scenario))
    return folder / "s.yaml"


def test_a_name_is_looked_up_before_a_number() -> None:
    assert node_of("b", ["a", "b"], 2) == (1, "")
    assert node_of(1, ["a", "b"], 2) == (1, "")
    assert node_of(1, None, 2) == (1, "")
    assert node_of(2, ["1", "2"], 2) == (
        1,
        "2 is the client named 2, which is node 1: names come before the numbers of nodes",
    )
    assert node_of(0, ["1", "2"], 2) == (0, "no client is named 0, so it is node 0, which is named 1")
    assert node_of(1, ["0", "1"], 2) == (1, "")
    for given, names, said in ((2, None, "0 to 1$"), ("x", ["a", "b"], "named a, b$"), ("1", None, "0 to 1$")):
        with pytest.raises(UserError, match=f"deletion.client {given} does not exist; clients are .*{said}"):
            node_of(given, names, 2)


def test_a_client_whose_only_row_is_a_test_row_does_not_renumber_the_others(tmp_path: Path) -> None:
    client = np.repeat(np.arange(10), 6)
    client = np.delete(client, np.flatnonzero(client == 3)[1:])
    test = client == 3
    test[::7] = True
    scenario = data(tmp_path, client, test=test)
    scenario["deletion"]["client"] = 5
    file, out = in_file(tmp_path, scenario), tmp_path / "out"
    code, said = command("run", file, "--out", out)
    assert code == 0, said
    assert "clients without training rows are no part of the network: 3; the others keep their ids" in said
    assert "deletion.client: 5 is the client named 5, which is node 4" in said
    topology = json.loads((out / "topology.json").read_text())
    assert topology["names"] == ["0", "1", "2", "4", "5", "6", "7", "8", "9"]
    learning = json.loads((out / "learning.json").read_text())
    assert list(learning["requests"][0]["forget"]) == ["4"]
    code, said = command("verify", out)
    assert code == 0, said
    assert command("verify", out, "--no-data")[0] == 0


def test_names_are_shown_by_run_report_and_plan(tmp_path: Path) -> None:
    scenario = data(tmp_path, NAMES * 10)
    scenario["deletion"]["client"] = "cy"
    file, out = in_file(tmp_path, scenario), tmp_path / "out"
    code, said = command("run", file, "--out", out)
    assert code == 0, said
    assert "client cy (node 2) of a ring network" in said
    assert json.loads((out / "topology.json").read_text())["names"] == NAMES
    assert command("report", out)[0] == 0
    assert "client cy (node 2) deleted 2 of its" in (out / "report.html").read_text()
    assert command("verify", out)[0] == 0
    code, said = command("plan", file, "--out", tmp_path / "plan")
    assert code == 0, said
    assert "client cy (node 2)" in said
    plan = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert [client["name"] for client in plan["clients"]] == ["cy", "ada", "bob", "dee"]


@pytest.mark.parametrize(("client", "node"), [("dee", 3), (2, 2), (0, 0)])
def test_a_client_is_asked_for_by_name_or_number(tmp_path: Path, client: Any, node: int) -> None:
    scenario = data(tmp_path, NAMES * 10)
    scenario["deletion"]["client"] = client
    assert list(build_network(resolve(scenario)).arrivals[0].forget) == [node]


@pytest.mark.parametrize("ids", [[0.5, 1.5, 2.5, 3.5], [7, 8, 9, 11]])
def test_ids_that_are_numbers_are_names_too(tmp_path: Path, ids: list[float]) -> None:
    scenario = data(tmp_path, ids * 10)
    scenario["deletion"]["client"] = ids[1]
    warned = pytest.warns(Notice, match="names come before") if ids[1] == 8 else pytest.MonkeyPatch.context()
    with warned:
        network = build_network(resolve(scenario))
    assert list(network.arrivals[0].forget) == [1]
    assert network.names[3] == str(ids[3])


def test_a_partition_that_mixes_clients_has_no_names_of_theirs(tmp_path: Path) -> None:
    scenario = {**data(tmp_path, NAMES * 10), "partition": {"kind": "iid", "clients": 4}}
    assert build_network(resolve(scenario)).names == {}


@pytest.mark.parametrize(
    "client",
    [True, [[1]], {"a": 1}, -1, float("nan"), ""],
    ids=["bool", "lists", "mapping", "negative", "nan", "empty"],
)
def test_what_is_no_client_is_refused(client: Any) -> None:
    with pytest.raises(UserError, match=r"deletion\.(requests\.0\.)?client: must be "):
        resolve({"deletion": {"client": client}})


# Graphs with names


def graph(folder: Path, names: list[str]) -> dict[str, Any]:
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    (folder / "graph.edges").write_text("".join(f"{one} {other}\n" for one, other in pairs))
    return {"kind": "file", "path": str(folder / "graph.edges")}


def test_clients_of_the_data_are_at_the_nodes_of_their_names(tmp_path: Path) -> None:
    # In the graph 2 comes before 10, in the data every name has a number of samples of its own.
    names = ["w2", "w10", "w30"]
    scenario = data(tmp_path, np.repeat(["w10", "w2", "w30"], [10, 20, 30]))
    scenario |= {"topology": graph(tmp_path, names), "deletion": {"client": "w10", "samples": 2}}
    network = build_network(resolve(scenario))
    assert list(network.names.values()) == names
    assert network.samples.tolist() == [16, 8, 24]
    assert list(network.arrivals[0].forget) == [1]


def test_names_of_which_some_are_in_the_graph_are_refused(tmp_path: Path) -> None:
    scenario = {**data(tmp_path, NAMES * 10), "topology": graph(tmp_path, ["ada", "bob", "cy", "eve"])}
    with pytest.raises(UserError, match="do not have the same names: dee of the data is not one of ada, bob, cy, eve"):
        build_network(resolve(scenario))


def test_other_names_in_the_graph_are_said_aloud(tmp_path: Path) -> None:
    scenario = {**data(tmp_path, NAMES * 10), "topology": graph(tmp_path, ["n1", "n2", "n3", "n4"])}
    with pytest.warns(Notice, match="the first node holds the data of the first client"):
        assert build_network(resolve(scenario)).names[0] == "n1"


# Classes


def test_a_class_is_deleted_by_its_name(tmp_path: Path) -> None:
    label = np.where(np.arange(40) % 2, 150, 50)
    scenario = data(tmp_path, NAMES * 10, y=label)
    for given in (150, "150"):
        scenario["deletion"] = {"client": "bob", "samples": {"class": given}}
        with pytest.warns(Notice, match="the labels 50, 150 are 2 classes"):
            network = build_network(resolve(scenario))
        assert len(network.arrivals[0].forget[1]) == network.samples[1]
    scenario["deletion"] = {"samples": {"class": 1}}
    with (
        pytest.warns(Notice, match="the labels 50, 150"),
        pytest.raises(UserError, match="names the class 1, and the classes are named 50, 150"),
    ):
        build_network(resolve(scenario))


def images(folder: Path, nodes: list[str] | None = None) -> dict[str, Any]:
    scenario = data(folder, NAMES * 10)
    x = np.random.default_rng(1).uniform(size=(40, 5, 5))
    np.savez(folder / "own.npz", x=x, y=np.arange(40) // 4 % 2, client=np.array(NAMES * 10))
    scenario["data"]["backdoor"] = {"client": "dee", "samples": 3, "target": 1, "size": 1}
    scenario["deletion"] = {"client": "dee", "samples": "poisoned"}
    return scenario | ({} if nodes is None else {"topology": graph(folder, nodes)})


@pytest.mark.parametrize(("nodes", "node"), [(None, 3), (["dee", "cy", "bob", "ada"], 0)])
def test_the_client_with_a_backdoor_is_given_by_its_name(tmp_path: Path, nodes: list[str] | None, node: int) -> None:
    scenario = images(tmp_path, nodes)
    network = build_network(resolve(scenario))
    assert network.poisoned is not None
    assert [list(arrival.forget) for arrival in network.arrivals] == [[node]]
    assert network.arrivals[0].forget[node].tolist() == network.poisoned.tolist()
    planted = network.partition[node][network.poisoned]
    assert (network.labels[planted] == 1).all()
    scenario["data"]["backdoor"]["client"] = scenario["deletion"]["client"] = "eve"
    with pytest.raises(UserError, match=r"data\.backdoor\.client eve does not exist; clients are 0 to 3, named"):
        build_network(resolve(scenario))
    scenario["data"]["backdoor"] = {"client": "bob", "samples": 30, "target": 1, "size": 1}
    with pytest.raises(UserError, match=r"client bob \(node [12]\) has \d samples of other classes"):
        build_network(resolve(scenario | {"deletion": {}}))


def test_a_backdoor_at_a_named_client_is_run_and_verified(tmp_path: Path) -> None:
    code, said = command("run", in_file(tmp_path, images(tmp_path)), "--out", tmp_path / "out")
    assert code == 0, said
    code, said = command("verify", tmp_path / "out")
    assert code == 0, said


def test_views_and_violations_name_their_nodes(tmp_path: Path) -> None:
    scenario = data(tmp_path, NAMES * 10)
    scenario["unlearning"][0]["view"] = "node:cy"
    scenario["deletion"]["client"] = "bob"
    out = tmp_path / "out"
    code, said = command("run", in_file(tmp_path, scenario), "--out", out)
    assert code == 0, said
    assert "node:2 is of cy (node 2)." in said
    assert command("report", out)[0] == 0
    page = (out / "report.html").read_text()
    assert "view node:2 (cy)" in page
    assert "node:2 (cy): an observer of the released model of cy (node 2)" in page
    folder = read_folder(out)
    certificate, audit = folder.certified[0]
    broken = violation(certificate, replace(audit, worst_node=3, holds=False), folder.names)
    assert "dee (node 3) diverged by" in broken
    code, said = command("plan", tmp_path / "s.yaml", "--out", tmp_path / "plan")
    assert "node:2 (cy)" in said
    assert command("verify", out)[0] == 0
    exported = tmp_path / "certificate.json"
    code, said = command("certificate", "export", out, "r2d", "--out", exported)
    assert code == 0, said
    document = json.loads(exported.read_text())
    assert document["names"] == {"1": "bob", "2": "cy"}
    assert "client bob (node 1) deleted 2 samples" in document["statement"]["promise"]
    assert "an observer of the released model of cy (node 2), whatever" in document["statement"]["promise"]
    assert command("certificate", "page", exported, "--out", tmp_path / "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    assert "Samples of client bob (node 1); this is public." in page
    assert "The promise holds for an observer of the released model of cy (node 2)." in page
    for names, words in (({"1": "eve", "2": "cy"}, "is not what the numbers say"), ({"0": "ada"}, "name of 0")):
        exported.write_text(json.dumps({**document, "names": names}))
        code, said = command("certificate", "verify", exported)
        assert (code > 0, words in said) == (True, True), said


@pytest.mark.parametrize(
    ("names", "view", "node"),
    [
        (NAMES, "transcript:dee", "transcript:3"),
        (NAMES, "node:1", "node:1"),
        (["all", "joint", "2", "1"], "node:all", "node:0"),
        (["all", "joint", "2", "1"], "transcript:all", "transcript:all"),
        (["all", "joint", "2", "1"], "node:1", "node:3"),
        (None, "node:1", "node:1"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*names come before")
def test_the_node_of_a_view_is_given_by_name_or_number(names: list[str] | None, view: str, node: str) -> None:
    scenario = resolve({"unlearning": [{"method": "r2d", "view": view}, {"method": "noise-only", "view": view}]})
    assert scenario.plain()["unlearning"][0]["view"] == view
    built = build_methods([(method.name, method.settings) for method in scenario.unlearning], names, 4)
    assert [method.view for method in built[:2]] == [node, node]


def test_a_view_of_nobody_is_refused(tmp_path: Path) -> None:
    scenario = data(tmp_path, NAMES * 10)
    scenario["unlearning"][0]["view"] = "node:eve"
    for words in ("run", "plan"):
        code, said = command(words, in_file(tmp_path, scenario), "--out", tmp_path / "out")
        assert (code, "unlearning.0.view node eve does not exist; clients are 0 to 3, named ada" in said) == (2, True)
    scenario["unlearning"][0]["view"] = "node:"
    code, said = command("run", in_file(tmp_path, scenario), "--out", tmp_path / "out")
    assert (code, "unknown view 'node:'" in said) == (2, True), said


def test_departures_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "path.edges").write_text("ada bob\nbob cy\ncy dee\n")
    scenario = data(tmp_path, NAMES * 10)
    scenario["topology"] = {"kind": "file", "path": str(tmp_path / "path.edges")}
    scenario["deletion"] = {"client": "cy", "samples": "all", "departure": "leave"}
    scenario["learning"]["radius"] = 4.0
    scenario["unlearning"][0]["view"] = "node:cy"
    code, said = command("run", in_file(tmp_path, scenario), "--out", tmp_path / "out")
    assert (code, "the view node:2 shows nothing: node 2 has left" in said) == (2, True), said
    scenario["unlearning"][0]["view"] = "joint"
    code, said = command("plan", in_file(tmp_path, scenario), "--out", tmp_path / "plan")
    assert (code, "Without client bob (node 1), cy (node 2) the network falls into parts" in said) == (0, True), said
    code, said = command("run", in_file(tmp_path, scenario), "--out", tmp_path / "out")
    assert code == 0, said
    exported = tmp_path / "certificate.json"
    assert command("certificate", "export", tmp_path / "out", "r2d", "--out", exported)[0] == 0
    assert json.loads(exported.read_text())["names"] == {"2": "cy"}


def test_clients_that_represent_others_in_a_plan_are_named(tmp_path: Path) -> None:
    scenario = data(tmp_path, NAMES * 10)
    code, said = command("plan", in_file(tmp_path, scenario), "--clients", "3", "--out", tmp_path / "plan")
    assert code == 0, said
    assert "as representatives: ada (node 0) (asks), " in said
