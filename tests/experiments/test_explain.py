"""`rewindnet explain`: evidence of unlearning in graph networks, its files, its sentences, and what it shows."""

import gc
import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

import rewindnet
from rewindnet.experiments.cli import app
from rewindnet.experiments.explain import making
from rewindnet.experiments.explain.load import load_graph_scenario
from rewindnet.experiments.explain.making import make_evidence
from rewindnet.experiments.explain.run import explain, forgotten, learn
from rewindnet.experiments.explain.scenario import GraphDeletionSettings, GraphScenario
from rewindnet.experiments.scenario.errors import ScenarioError

SMALL = [
    *("data.nodes=20", "data.features=12", "data.communities=3", "data.p_in=0.15", "data.p_out=0.03"),
    *("model.hidden=8", "learning.epochs=4", "deletion.nodes=3", "seeds=2"),
    "unlearning=[retrain, {method: retrain, draw: 1}, {method: fe-idea, epochs: 2}, do-nothing]",
]


def called(folder: Path, *arguments: object) -> Result:
    with chdir(folder):
        return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "250"})


def sentence(folder: Path, *arguments: object) -> str:
    done = called(folder, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the evidence of a small scenario, in runs/small."""
    folder = tmp_path_factory.mktemp("explained")
    (folder / "small.yaml").write_text("name: small\n", encoding="utf-8")
    done = called(folder, "explain", "small.yaml", *SMALL)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "small: explain-paper" in done.stdout
    assert "retrain, draw 1" in done.stdout
    assert "Nothing here is certified" in done.stdout
    return folder


def evidence(home: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((home / "runs/small/evidence.json").read_text("utf-8"))
    return content


def figures(method: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a method's evidence, by verifier and name."""
    return {f"{e['verifier']}.{f['name']}": f["value"] for e in method["evidence"] for f in e["figures"]}


def test_the_evidence_certifies_nothing_and_compares_with_retraining(home: Path) -> None:
    found = evidence(home)
    assert found["certified"] is False
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    for run in found["runs"]:
        retrained, other, kept, nothing = run["methods"]
        assert not any(method["certified"] for method in run["methods"])
        assert [method["gradients"] for method in run["methods"]] == [1.0, 1.0, 0.5, 0.0]
        same = figures(retrained)
        assert (same["explain-audit.kl_boundary"], same["explain-audit.agreement"]) == (0.0, 1.0)
        assert (same["explain-audit.mi_f_gap"], same["explain-paper.ra_after"]) == (0.0, 0.0)
        assert same["explain-audit.ra_queried"] > 1.0
        assert figures(other)["explain-audit.kl_forgotten"] > 0
        assert figures(kept)["explain-paper.ra_after"] > 1.0
        unchanged = figures(nothing)
        assert unchanged["explain-paper.ra_after"] == unchanged["explain-paper.ra_before"]
        assert [unchanged[f"explain-paper.{name}"] for name in ("hs", "esd", "ged", "grs")] == [0, 0, 0, 0]


def test_evidence_is_told_by_client_and_by_distance(home: Path) -> None:
    run = evidence(home)["runs"][0]
    scenario = load_graph_scenario(home / "small.yaml", SMALL)
    graph = learn(scenario, 0)[0].graph
    for method in run["methods"]:
        for part in method["evidence"]:
            groups = {(group["client"], group["hops"]): group["nodes"] for group in part["groups"]}
            assert sum(groups.values()) == run["graph"]["nodes"] == 60
            assert groups[0, 0] == 3
            assert {client for client, hops in groups if hops == 0} == {0}
            assert {client for client, hops in groups if hops == 1} - {0}
    audit = run["methods"][2]["evidence"][1]["groups"]
    mean = sum(group["nodes"] * group["agreement"] for group in audit) / 60
    assert mean == pytest.approx(figures(run["methods"][2])["explain-audit.agreement"])
    assert graph.clients == 3
    assert len(set(run["snapshots"].values())) == 3
    assert run["methods"][3]["snapshots"] == run["snapshots"]
    assert run["methods"][2]["snapshots"] != run["snapshots"]


def test_the_document_and_the_page_say_the_same(home: Path) -> None:
    text = (home / "runs/small/evidence.md").read_text("utf-8")
    assert "Nothing here is certified" in text
    assert "RA after is 0 by construction" in text
    assert "RA on the whole graph does not verify forgetting" in text
    rows = [line for line in text.splitlines() if line.startswith("| fe-idea |")]
    assert len(rows) == 8
    assert "± " in rows[0]
    page = (home / "runs/small/evidence.html").read_text("utf-8")
    assert len(page) < 200_000, "a page without charts carries a charting library"
    title, *cells = rows[0].strip("| ").split(" | ")
    assert f'<tr><td class="text">{title}</td><td>{"</td><td>".join(cells)}</td></tr>' in page


def test_the_same_seed_gives_the_same_evidence(home: Path) -> None:
    scenario = load_graph_scenario(home / "runs/small/scenario.yaml")
    assert json.loads(json.dumps(explain(scenario, 1))) == evidence(home)["runs"][1]


def test_deleted_nodes_are_training_nodes_of_their_client_with_other_labels(home: Path) -> None:
    flipped = learn(load_graph_scenario(home / "small.yaml", SMALL), 0)[0]
    plain = learn(load_graph_scenario(home / "small.yaml", [*SMALL, "deletion.flipped_labels=false"]), 0)[0]
    graph, forget = plain.graph, plain.forget
    assert int(forget.sum()) == 3
    assert (graph.train & (graph.client == 0))[forget].all()
    assert torch.equal(flipped.forget, forget)
    assert torch.equal(flipped.graph.y != graph.y, forget)
    every = forgotten(graph, GraphDeletionSettings(client="any", nodes=20), 0)
    assert graph.train[every].all()
    assert len(set(graph.client[every].tolist())) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["dta.source=sbm"], ["unknown key 'dta' in the scenario", "did you mean 'data'?"]),
        (["data.source=cra"], ["unknown graph 'cra'", "did you mean 'cora'?"]),
        (["data.p=1"], ["unknown key 'p' for the graph sbm"]),
        (["deletion.client=7"], ["deletion.client: sbm has the clients 0 to 2, not 7"]),
        (["data.source=cora", "data.root=none"], ["no such file: none/cora/ind.cora.allx", "; set data.root, or"]),
        (["deletion.nodes=50"], ["deletion.nodes: client 0 can delete less than the", "not 50"]),
        (["unlearning=[graph-editor]"], ["choose the graph model sgc"]),
        (["unlearning=retrain"], ["must be a list of at least one choice, not 'retrain'"]),
        (
            ["verifiers=[{verifier: explain-paper, depth: 0}]"],
            ["a depth and a number of hops of at least 1, not 0 and 2"],
        ),
    ],
)
def test_mistakes_are_sentences_and_write_nothing(tmp_path: Path, changes: list[str], words: list[str]) -> None:
    (tmp_path / "small.yaml").write_text("name: small\n", encoding="utf-8")
    line = sentence(tmp_path, "explain", "small.yaml", *SMALL, "seeds=1", *changes)
    assert all(word in line for word in words), line
    assert not (tmp_path / "runs").exists()


def test_evidence_is_not_overwritten_unasked_and_other_folders_never(home: Path) -> None:
    assert "already holds evidence" in sentence(home, "explain", "small.yaml", *SMALL)
    assert "holds no evidence of rewindnet explain" in sentence(home, "explain", "small.yaml", "--out", ".", "--force")


def test_what_was_interrupted_goes_on_with_the_next_seed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, folder, learned = load_graph_scenario(home / "runs/small/scenario.yaml"), home / "runs/stopped", []

    def stopped(scenario: GraphScenario, seed: int, tell: Any) -> dict[str, Any]:
        learned.append(seed)
        if seed == 1 and len(learned) == 2:
            raise KeyboardInterrupt
        return explain(scenario, seed, tell)

    monkeypatch.setattr(making, "explain", stopped)
    with pytest.raises(KeyboardInterrupt, match="1 of 2 seeds are kept, and the same command goes on"):
        make_evidence(scenario, folder)
    assert [file.name for file in folder.iterdir()] == ["unfinished.json"]
    other = scenario.model_copy(update={"seed": 5})
    with pytest.raises(ScenarioError, match="unfinished evidence of another scenario"):
        make_evidence(other, folder)
    assert learned == [0, 1]
    make_evidence(scenario, folder)
    assert learned == [0, 1, 1]
    assert (folder / "evidence.json").read_text() == (home / "runs/small/evidence.json").read_text()
    assert not (folder / "unfinished.json").exists()


def test_from_python_evidence_is_tables_and_a_page(home: Path) -> None:
    scenario = load_graph_scenario(home / "small.yaml", SMALL)
    threads = torch.get_num_threads()
    found = rewindnet.explain(scenario, seeds=1, **{"deletion.nodes": 2}, unlearning=["retrain", "do-nothing"])
    assert torch.get_num_threads() == threads
    assert (found.scenario.deletion.nodes, found.scenario.seeds, found.scenario.model.settings["hidden"]) == (2, 1, 8)
    retrained, nothing = found.rows()
    assert (retrained["method"], retrained["explain-audit.kl_boundary"]) == ("retrain", 0.0)
    assert nothing["explain-paper.ra_after"] == nothing["explain-paper.ra_before"] > 0
    assert len(found.table()) == 2
    assert found.groups()["nodes"].sum() == 2 * 2 * 60
    assert "Nothing here is certified" in found.notes[0]
    assert "<td>do-nothing</td>" in found._repr_html_().replace(' class="text"', "")
    page = found.report().path
    assert "evidence of unlearning" in page.read_text("utf-8")
    kept = rewindnet.GraphEvidence(home / "runs/small")
    assert len(kept.rows()) == 8
    assert "4 methods, 2 seeds" in repr(kept)
    del found
    gc.collect()
    assert not page.exists()
    with pytest.raises(rewindnet.UserError, match="unknown key 'dta'"):
        rewindnet.explain({"dta": "sbm"})


def test_a_scenario_of_a_graph_network_is_not_for_run(tmp_path: Path) -> None:
    assert "scenarios of graph networks are for rewindnet explain" in sentence(tmp_path, "run", "graph-networks")
    with pytest.raises(ScenarioError, match="scenarios of graph networks are for rewindnet explain"):
        rewindnet.load("graph-networks")


def test_the_recipe_runs_every_method_that_its_model_takes() -> None:
    scenario = load_graph_scenario(Path("graph-networks"))
    listed = {method.name for method in scenario.unlearning}
    from rewindnet.clients.graphs.methods import GRAPH_METHODS

    assert set(GRAPH_METHODS) - listed == {"graph-editor"}


# What "Forget and Explain" shows, and what it cannot show

CHECKED = ["retrain", "drop-finetune", "idea", "fe-grapheditor", "fe-idea", "do-nothing"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_the_order_of_the_methods_over_three_seeds(kind: str) -> None:
    """The paper's metrics tell what is still in the graph; distances from retraining tell what a model remembers."""
    scenario = GraphScenario.model_validate(
        {"model": kind, "deletion": {"client": "any"}, "unlearning": CHECKED, "seeds": 3}
    )
    runs = [explain(scenario, seed) for seed in range(3)]

    def mean(method: str, name: str) -> float:
        at = CHECKED.index(method)
        return sum(figures(run["methods"][at])[name] for run in runs) / len(runs)

    for gone in ("retrain", "drop-finetune", "idea"):
        assert mean(gone, "explain-paper.ra_after") == 0.0
    for left in ("fe-grapheditor", "fe-idea"):
        assert mean(left, "explain-paper.ra_after") >= 0.5 * mean(left, "explain-paper.ra_before")
    compared = ("retrain", "drop-finetune", "fe-grapheditor", "fe-idea")
    whole, tuned, part, none = (mean(method, "explain-paper.ged") for method in compared)
    assert whole == tuned > part > none == 0
    whole, tuned, part, none = (mean(method, "explain-paper.esd") for method in compared)
    assert whole == tuned > none
    # With attention, editing can raise the saliency of the nodes by more than deleting takes away.
    assert kind == "gat" or tuned > part > none
    tuned, part, none = (
        mean(method, "explain-audit.kl_boundary") for method in ("drop-finetune", "fe-grapheditor", "fe-idea")
    )
    assert 0 < tuned < part
    assert tuned < none
    gaps = {method: abs(mean(method, "explain-audit.mi_f_gap")) for method in CHECKED[1:]}
    assert gaps["drop-finetune"] < gaps["fe-grapheditor"]
    # RA does not tell a retrained model from a learned one, where both are asked about the same graph.
    assert mean("retrain", "explain-audit.ra_queried") > 0.8 * mean("do-nothing", "explain-audit.ra_queried")
