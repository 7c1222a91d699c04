"""Plans by the published bound: the formulas of the R2D paper, and what a run by that bound certifies."""

from pathlib import Path

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from runs import refused_here, run_through
from typer.testing import CliRunner

from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS
from rewindnet.experiments.cli import app
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import VIEWS, epsilon_by_depth, make_plan
from rewindnet.experiments.scenario.yaml_files import load, resolve

RECIPE = Path(__file__).parents[2] / "experiments/recipes/r2d-paper.yaml"
N, M, L, G, ETA, T = 94_449, 1_079, 0.2065, 0.5946, 0.01, 3_666
SMALL = {
    "name": "published",
    "data": {"source": "synthetic", "samples": 150, "dimensions": 4, "classes": 3},
    "partition": {"kind": "size", "partition_sizes": [20, 40, 30, 25]},
    "topology": {"kind": "path"},
    "learning": {"rounds": 10, "step_size": 0.2},
    "deletion": {"client": 1, "samples": 6},
    "unlearning": [
        {"method": "r2d", "rewind": 0.4, "bound": "published"},
        {"method": "r2d", "rewind": 0.4, "bound": "published", "epsilon": 3.0, "view": "joint"},
        {"method": "r2d", "rewind": 0.8, "bound": "published", "view": "transcript:all", "placement": "rewind"},
        {"method": "r2d", "rewind": 0.4, "bound": "published", "sigma": 0.3, "view": "node:2"},
        {"method": "r2d", "rewind": 0.4},
    ],
    "audit": {"draws": 0},
}


def plan_of(scenario):
    return make_plan(build_planned_network(scenario), {})


def formula(K, published, T=T):
    if published:
        return 2 * M * G / (L * N) * ((1 + ETA * L * N / (N - M)) ** (T - K) - 1) * (1 + ETA * L) ** K
    return 2 * M * G / (L * N) * ((1 + ETA * L) ** T - (1 + ETA * L) ** K)


@pytest.mark.parametrize("rounds", [120, pytest.param(T, marks=pytest.mark.slow)])
def test_the_curves_of_the_paper_are_its_formulas(rounds):
    papers = plan_of(load(RECIPE, {"learning.rounds": rounds}))
    output, node = PLACEMENTS.index("output"), 0
    assert str(VIEWS[node]) == "node"
    for basis, published in (("published", True), ("nonconvex", False)):
        needed = papers.requirements[basis].needed[output, :, node, ALLOCATIONS.index("uniform"), 0]
        np.testing.assert_allclose(needed, [formula(K, published, rounds) for K in papers.depths], rtol=1e-6, atol=1e-9)
        sigma = papers.sigma(basis, 0, 1.0, 0.1)[output, :, node, 0]
        if published:
            np.testing.assert_allclose(sigma, needed * np.sqrt(2 * np.log(1.25 / 0.1)), rtol=1e-9)


@pytest.mark.slow
def test_what_the_noise_of_the_paper_guarantees():
    """ε is about μ²/2 where μ is in the thousands; at no depth short of retraining is it less than 10⁷."""
    papers = plan_of(load(RECIPE))
    for answer in papers.answers[2:]:
        epsilon = epsilon_by_depth(papers, answer.row)
        mu = np.array([formula(K, answer.row.bound == "published") for K in papers.depths]) / answer.row.sigma
        np.testing.assert_allclose(epsilon[:-1], mu[:-1] ** 2 / 2, rtol=1e-2)
        assert epsilon[-1] == 0
        assert np.all((epsilon[:-1] > 1e7) & (epsilon[:-1] < 1e8))
    assert papers.network.training_run.constants.conditional


@given(data=st.data())
@examples(2, deadline=None)
def test_a_run_by_the_published_bound_certifies_what_was_planned(data, tmp_path_factory):
    client, samples = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 9))
    step = data.draw(st.floats(0.05, 0.9))
    described = {
        **SMALL,
        "learning": {"rounds": 10, "step_size": step},
        "deletion": {"client": client, "samples": samples},
    }
    plan = plan_of(resolve(described))
    run = run_through(described, tmp_path_factory.mktemp("published") / "run")
    for answer, method in zip(plan.answers, run.methods, strict=False):
        found = method.certificate
        assert answer.sigma[0] == pytest.approx(np.sqrt(np.mean(np.square(found["sigma"]))), rel=1e-9)
        if answer.row.epsilon is None:
            assert answer.epsilon[0] == pytest.approx(found["epsilon"], rel=1e-9)
        assert found["claimed_epsilon"] == pytest.approx(answer.epsilon[0], rel=1e-6) or answer.row.epsilon is None


def test_a_client_that_deletes_everything_has_no_published_answer():
    plan = plan_of(resolve({**SMALL, "deletion": {"client": 1, "samples": 20}}))
    at = plan.selection.clients.tolist().index(0)
    assert np.isnan(plan.answers[0].sigma[at])
    assert np.isfinite(plan.answers[4].sigma[at])
    assert np.isfinite(np.delete(plan.answers[0].sigma, at)).all()


def test_the_command_shows_both_bounds_and_draws_them(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    file = tmp_path / "s.yaml"
    file.write_text(resolve(SMALL).to_yaml())
    done = CliRunner().invoke(app, ["plan", str(file), "--out", str(tmp_path / "plan")])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "σ against depth by the published bound" in done.stdout
    assert "ε against depth" in done.stdout
    with Image.open(tmp_path / "plan" / "plan.png") as picture:
        assert picture.size[0] > 3 * 600


def test_what_is_only_declared_is_not_run(tmp_path, capsys):
    declared = {"kind": "declared", "parameters": 12, "G": 1.0, "L": 0.5}
    refused_here({**SMALL, "model": declared}, tmp_path, capsys, "it can be planned with rewindnet plan, but not run")
    for wrong, words in (({"parameters": 0}, "a positive number, not 0"), ({"L": -1.0}, "no objective has")):
        (tmp_path / "scenario.yaml").unlink()
        refused_here({**SMALL, "model": {**declared, **wrong}}, tmp_path, capsys, words)
