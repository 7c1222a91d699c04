"""`rewindnet plan`: what it says of a run is what the run then certifies; bad input is a sentence."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import run_through
from typer.testing import CliRunner

from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS
from rewindnet.experiments.cli import app
from rewindnet.experiments.plan.clients import select_clients
from rewindnet.experiments.plan.network import build_planned_network, deleted_by_each
from rewindnet.experiments.plan.placement import placement_sentences
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.plan.record import plan_arrays, plan_record
from rewindnet.experiments.plan.words import noise_sentences
from rewindnet.experiments.scenario.yaml_files import resolve

ROOT = Path(__file__).parents[2]
SCENARIO = {
    "name": "planned",
    "data": {"source": "synthetic", "samples": 200, "dimensions": 4, "classes": 3},
    "partition": {"kind": "dirichlet", "alpha": 1.0, "clients": 8, "min_partition_size": 2},
    "topology": {"kind": "barabasi-albert"},
    "learning": {"rounds": 12},
    "deletion": {"client": 3, "samples": 0.5},
    "unlearning": [
        {"method": "r2d", "rewind": 0.25, "view": "node"},
        {"method": "r2d", "rewind": 0.5, "view": "node:2", "allocation": "optimal", "epsilon": 3.0},
        {"method": "r2d", "rewind": 0.5, "view": "joint", "allocation": "optimal", "delta": 1e-6},
        {"method": "r2d", "rewind": 0.25, "view": "average"},
        {"method": "r2d", "rewind": 0.5, "view": "transcript:5", "placement": "rewind", "allocation": "optimal"},
        {"method": "r2d", "rewind": 0.75, "sigma": 0.5, "view": "transcript:all", "placement": "rewind"},
        {"method": "r2d", "rewind": 0.0, "regime": "nonconvex", "view": "node"},
        {"method": "retrain"},
    ],
}
DECLARED = {
    **SCENARIO,
    "data": {"source": "declared", "shape": [3, 2], "classes": 4},
    "partition": {"kind": "declared", "samples": [5, 9, 20, 4, 50, 7]},
    "deletion": {"client": 3, "samples": 2},
}


def scenario(**changes):
    return {**SCENARIO, **changes}


@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])
@pytest.mark.parametrize("schedule", ["static", "link-failures", "node-sleep"])
def test_a_run_certifies_what_was_planned(order, schedule, tmp_path):
    learning = {"rounds": 12, "order": order, "local_steps": 2 if schedule == "static" else 1}
    described = scenario(learning=learning, topology={"kind": "barabasi-albert", "schedule": schedule})
    plan = make_plan(build_planned_network(resolve(described)), {})
    certified = run_through(described, tmp_path / "run").methods
    for answer, method in zip(plan.answers, certified, strict=False):
        found, row = method.certificate, answer.row
        sensitivities = plan.requirements[row.regime].first_client_sensitivities[row.placement, row.depth]
        if not found["averaged"]:
            np.testing.assert_allclose(sensitivities, found["sensitivity"], rtol=1e-12, atol=0)
        sigma = np.sqrt(np.mean(np.square(found["sigma"])))
        assert answer.sigma[0] == pytest.approx(sigma, rel=1e-9)
        assert answer.epsilon[0] == pytest.approx(found["epsilon"], rel=1e-9)
        cost = plan.cost[row.depth]
        assert cost["gradients"] == pytest.approx(method.metrics["cost_share"]["gradients"])
        if not found["averaged"]:
            assert cost["bytes"] == pytest.approx(method.metrics["cost_share"]["bytes"])
            assert cost["sent"] == method.metrics["cost"]["bytes"]


def test_every_client_is_planned_as_if_it_had_asked():
    whole = make_plan(build_planned_network(resolve(SCENARIO)), {})
    assert sorted(whole.selection.clients.tolist()) == list(range(8))
    for place, client in enumerate(whole.selection.clients.tolist()):
        own = make_plan(
            build_planned_network(resolve(scenario(deletion={"client": client, "samples": 0.5}))), {}, clients=1
        )
        assert own.selection.clients.tolist() == [client]
        for one, other in zip(own.answers, whole.answers, strict=True):
            np.testing.assert_allclose(
                [one.sigma[0], one.epsilon[0]], [other.sigma[place], other.epsilon[place]], rtol=1e-12
            )


def test_the_depth_that_follows_from_noise_is_the_least_that_is_enough():
    row = {"method": "r2d", "epsilon": 1.0, "sigma": 0.4, "view": "node"}
    plan = make_plan(build_planned_network(resolve(scenario(unlearning=[row]))), {})
    (answer,) = plan.answers
    sigma = plan.sigma(answer.row.regime, 0, 1.0, 1e-5)[PLACEMENTS.index("output"), :, 0, ALLOCATIONS.index("uniform")]
    enough = [depth for depth, needed in zip(plan.depths, sigma, strict=True) if needed <= 0.4]
    assert 0 < answer.depth[0] == min(enough)


def test_declared_clients_take_what_real_ones_of_that_size_do():
    declared = make_plan(build_planned_network(resolve(DECLARED)), {})
    sizes = DECLARED["partition"]["samples"]
    real = {
        **DECLARED,
        "data": {"source": "synthetic", "samples": 200, "dimensions": 6, "classes": 4},
        "partition": {"kind": "size", "partition_sizes": sizes},
    }
    measured = make_plan(build_planned_network(resolve(real)), {})
    for one, other in zip(declared.answers, measured.answers, strict=True):
        np.testing.assert_array_equal(one.needed, other.needed)
    assert declared.facts.deleted.tolist() == [2] * 6
    assert not declared.network.training_run.constants.conditional


def test_noise_that_no_model_can_outgrow_is_said_before_learning():
    rows = [
        {"method": "r2d", "rewind": 0.5, "epsilon": epsilon, "view": "node", "placement": placement}
        for epsilon in (0.01, 1e4)
        for placement in ("output", "rewind")
    ]
    plan = make_plan(build_planned_network(resolve(scenario(unlearning=rows))), {})
    told = noise_sentences(plan)
    assert [f"(row {index})" in " ".join(told) for index in range(4)] == [True, True, False, False]
    # Steps of at most eta·G from theta = 0, without the rounding that the bound allows for.
    constants, learning = plan.network.training_run.constants, plan.network.training_run
    reachable = learning.rounds * learning.step_size * constants.G.value
    stated = float(re.search(r"a norm above (\S+) in 12 rounds", told[0]).group(1))
    assert stated == pytest.approx(reachable, rel=0.01)
    noise = [float(re.search(r"σ·√d = (\S+) is left", line).group(1)) for line in told]
    root = plan.network.model.parameters**0.5
    assert noise[0] == pytest.approx(plan.answers[0].sigma[0] * root, rel=1e-2)
    assert reachable < noise[1] < plan.answers[1].sigma[0] * root


def test_a_large_network_is_represented_by_its_extremes():
    many = {
        **DECLARED,
        "partition": {"kind": "declared", "clients": 3000, "samples": 10},
        "deletion": {"client": 5, "samples": "all"},
    }
    network = build_planned_network(resolve({**many, "unlearning": [{"method": "r2d", "rewind": 0.25}]}))
    deleted = deleted_by_each(network)
    chosen = select_clients(network, deleted, [3], range(13), 1, 9)
    degree = np.array([d for _, d in sorted(dict(network.graph.degree()).items())])
    assert chosen.clients[0] == 5
    assert len(set(chosen.clients.tolist())) == 9
    assert {degree.min(), degree.max()} <= set(degree[chosen.clients])
    assert "9 of 3000 clients, as representatives: 5 (asks)" in chosen.sentence
    assert select_clients(network, deleted, [3], range(13), 1, 9).clients.tolist() == chosen.clients.tolist()


def test_plan_json_says_everything_and_the_arrays_hold_it():
    plan = make_plan(build_planned_network(resolve(SCENARIO)), {"seed": "0"})
    found = json.loads(json.dumps(plan_record(plan), allow_nan=False))
    assert list(found) == [
        *("format", "name", "point", "bound", "network", "learning", "planned", "cost"),
        *("rows", "asked", "clients", "placement", "verdicts", "notes"),
    ]
    assert found["network"]["nodes"] == 8
    assert 0 < found["network"]["spectral_gap"] < 1
    assert [row["index"] for row in found["rows"]] == list(range(7))
    first = found["rows"][0]
    assert (
        first["hardest_client"]["needed"] >= first["median_client"]["needed"] >= first["easiest_client"]["needed"] > 0
    )
    assert first["asked_client"]["client"] == found["asked"]["client"] == found["clients"][0]["client"] == 3
    assert {client["client"] for client in found["clients"]} == set(range(8))
    bare = [price for price in found["asked"]["prices"] if price["view"] == "transcript:all"]
    assert all(
        (price["sigma"] is None) == (price["placement"] == "output" and 0 < price["depth"] < 12) for price in bare
    )
    loaded = np.load(io.BytesIO(plan_arrays(plan)))
    regime = plan.answers[0].row.regime
    assert loaded[f"{regime}/needed"].shape == (2, len(plan.depths), len(plan.requirements[regime].views), 2, 8)
    assert loaded[f"{regime}/sensitivity/output/3"].shape == (8,)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "s.yaml").write_text(json.dumps(DECLARED))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "220")
    return tmp_path


def test_the_command_shows_and_leaves_a_plan(folder):
    done = CliRunner().invoke(app, ["plan", "s.yaml"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert all(word in done.stdout for word in ("hardest", "rewind: all messages", "plan: runs/planned-plan"))
    out = folder / "runs" / "planned-plan"
    assert {path.name for path in out.iterdir()} == {"plan.json", "plan.npz", "plan.png", "scenario.yaml"}
    with Image.open(out / "plan.png") as picture:
        assert min(picture.size) > 400
    refused = CliRunner().invoke(app, ["plan", "s.yaml"])
    assert refused.exit_code == 2
    assert "already holds a plan" in refused.stderr
    compared = CliRunner().invoke(app, ["plan", "s.yaml", "topology.kind=ring,star", "--out", str(out), "--force"])
    assert (compared.exit_code, compared.stderr) == (0, "")
    assert "Least noise for the hardest client" in compared.stdout
    entries = json.loads((out / "comparison.json").read_text())["plans"]
    assert [entry["point"] for entry in entries] == [{"topology.kind": "ring"}, {"topology.kind": "star"}]
    assert all((out / entry["folder"] / "plan.json").is_file() for entry in entries)
    assert (out / "comparison.png").is_file()


def test_a_planned_epsilon_that_promises_nothing_is_named(folder):
    rows = "unlearning=[{{method: r2d, rewind: 0.5, sigma: {}}}]"
    done = [CliRunner().invoke(app, ["plan", "s.yaml", rows.format(sigma)]).stdout for sigma in (1e-4, 1e4)]
    assert ["ε above 10 promises nothing" in " ".join(text.split()) for text in done] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "s.yaml"], "holds no samples to learn from; it can be planned with"),
        (["run", "s.yaml", "data={source: digits}"], "a partition of the kind declared says how many samples"),
        (["plan", "s.yaml", "partition={kind: iid, clients: 4}"], "has no samples to deal out to clients by iid"),
        (["plan", "s.yaml", "partition.clients=4"], "4 clients were asked for, but samples has 6 numbers"),
        (["plan", "s.yaml", "partition.samples=0"], "samples is a positive number"),
        (["plan", "s.yaml", "data.features=raw"], "the radius of raw features is read off the data"),
        (["plan", "s.yaml", "data.shape=[0]"], "declared data have positive sides"),
        (["plan", "s.yaml", "deletion.samples={class: 1}"], "without data it is not known which clients have it"),
        (["plan", "s.yaml", "deletion.samples=all", "deletion.departure=leave"], "set learning.radius"),
        (["plan", "s.yaml", "learning.sampling={kind: poisson, batch: 2}"], "depend on which client asks"),
        (["plan", "s.yaml", "deletion.client=6"], "deletion.client 6 does not exist"),
        (["plan", "s.yaml", "deletion.samples=5"], "client 3 has 4 samples"),
        (["plan", "s.yaml", "topology.kind=ring,stir"], "unknown topology 'stir'"),
        (["plan", "s.yaml", "unlearning=[{method: r2d, view: 'node:6'}]"], "names a node that does not exist"),
        (["plan", "s.yaml", "--clients", "0"], "--clients is the number"),
        (["plan", "s.yaml", "--out", "s.yaml"], "is not a folder"),
        (["plan", "s.yaml", "--out", "."], "is not the folder of a plan"),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_written(folder, arguments, says):
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("rewindnet: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["s.yaml"]


@pytest.mark.slow
def test_a_million_clients_are_planned_with_time_and_memory_in_proportion(tmp_path):
    """Beside what a plan of few clients takes, ten times as many clients take about ten times as much."""
    few, many, most = (planning(clients, tmp_path / str(clients)) for clients in (1_000, 100_000, 1_000_000))
    for least, middle, largest in zip(few, many, most, strict=True):
        assert largest - least < 30 * max(middle - least, 0.1)
    assert json.loads((tmp_path / "1000000" / "plan.json").read_text())["network"]["nodes"] == 1_000_000


def planning(clients, out):
    """The processor seconds and the GiB that a plan for so many clients takes, in a process of its own."""
    script = (
        "import resource, sys\n"
        "from rewindnet.experiments.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)\n"
    )
    recipe = ROOT / "experiments/recipes/million.yaml"
    done = subprocess.run(
        [sys.executable, "-c", script, "plan", str(recipe), f"partition.clients={clients}", "--out", str(out)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return tuple(map(float, done.stdout.splitlines()[-1].split()))


@pytest.mark.parametrize("topology", ["ring", {"kind": "random-regular", "degree": 4}])
def test_the_place_of_the_noise_that_is_forecast_to_win_wins(tmp_path, topology):
    row = {"method": "r2d", "rewind": 0.5, "view": "joint", "allocation": "optimal"}
    scenario = {
        "data": {"source": "digits", "limit": 800},
        "partition": {"clients": 16},
        "topology": topology,
        "learning": {"rounds": 60, "step_size": 2.0},
        "deletion": {"samples": 2},
        "unlearning": [{**row, "placement": "output"}, {**row, "placement": "rewind"}, "retrain"],
    }
    plan = make_plan(build_planned_network(resolve(dict(scenario))), {})
    (half,) = [one for one in plan.forecasts if one.depth == 30]
    run = run_through(scenario, tmp_path / "run")
    lost = {row["placement"]: row for row in run.summary[:2]}
    assert [half.sigma[place] for place in lost] == pytest.approx([of["sigma"] for of in lost.values()], rel=1e-9)
    assert half.winner == max(lost, key=lambda place: lost[place]["accuracy"]["retain"]["mean"])
    (said,) = placement_sentences(plan.forecasts, 60, *plan.target)
    assert f"placement {half.winner} wins at" in said


def test_without_data_no_place_of_the_noise_is_forecast():
    declared = {
        "data": {"source": "declared", "shape": [8], "classes": 3},
        "partition": {"kind": "declared", "clients": 9},
    }
    assert make_plan(build_planned_network(resolve(declared)), {}).forecasts == ()
