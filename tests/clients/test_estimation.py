"""Estimated constants: what they find, how they are shown, and how the audits and the verifier catch wrong ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMALL
from runs import refused_here

from rewindnet.certificates import Constant, certify
from rewindnet.certificates.audits.audit import audit
from rewindnet.clients.methods import METHODS
from rewindnet.clients.models import MODELS
from rewindnet.clients.training.estimation import Estimates, estimate
from rewindnet.clients.training.make_block import make_block
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.report import table, words
from rewindnet.experiments.report.columns import certified
from rewindnet.experiments.runs.estimating import rounds_of_estimates
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.data import check_estimates
from rewindnet.experiments.verify.rebuild import rebuild
from rewindnet.experiments.verify.records import MismatchError
from rewindnet.experiments.verify.verify import verify_folder

#: Every kind of certificate, on a model of which nothing is proven.
ESTIMATED: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 80, "dimensions": 4, "classes": 3},
    "partition": {"clients": 4},
    "model": {"kind": "mlp", "widths": [4], "activation": "smelu", "l2": 0.01, "constants": "estimated"},
    "topology": "ring",
    "learning": {"rounds": 8, "step_size": 0.05},
    "deletion": {"samples": 3},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5},
        {"method": "r2d", "rewind": 0.5, "placement": "rewind", "view": "transcript:all", "bound": "instance"},
        {"method": "warm-start", "rounds": 2},
        {"method": "langevin", "rounds": 2},
        "retrain",
        "do-nothing",
    ],
}


@pytest.mark.parametrize("kind", ["logistic", "mlp"])
def test_estimates_are_the_largest_gradient_and_the_outermost_eigenvalues(kind: str) -> None:
    """Held against the gradient of every sample alone, and against all eigenvalues of every client's Hessian."""
    generator, settings = np.random.default_rng(3), {"l2": 0.2} | ({"widths": [3]} if kind == "mlp" else {"bias": 0.0})
    model = MODELS[kind](4, 3, **settings)
    x, y = torch.from_numpy(generator.standard_normal((11, 4))), generator.integers(0, 3, 11)
    block = make_block(model, x, y, [np.arange(5), np.arange(5, 11), np.arange(0)], step_size=0.1)
    theta = torch.from_numpy(generator.standard_normal((3, model.parameters)))
    found = estimate(block, theta, 0)
    norms, extremes = [], []
    for client, rows in enumerate((range(5), range(5, 11))):
        for k in rows:
            alone = model.gradient(
                theta[[client]], x[None, [k]], torch.tensor([[int(y[k])]]), torch.ones(1, 1).double()
            )
            norms.append(float((alone[0] - 0.2 * theta[client]).norm()))
        some = list(rows)

        def objective(point: torch.Tensor, some: list[int] = some) -> torch.Tensor:
            losses = model.losses(point[None], x[some][None], torch.from_numpy(y[some])[None])
            return losses.mean() + 0.1 * (point**2).sum()

        eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(objective, theta[client]))
        extremes += [float(eigenvalues[0]), float(eigenvalues[-1])]
    assert pytest.approx(max(norms), rel=1e-12) == found.G
    # The power method approaches the outermost eigenvalues from inside.
    assert 0.9 * max(extremes) <= found.highest <= max(extremes) * (1 + 1e-9)
    assert min(extremes) - 1e-9 <= found.lowest <= min(extremes) + 0.1 * (max(extremes) - min(extremes))
    assert Estimates(1, 2, -3).joined(Estimates(2, 1, -1)) == (2, 2, -3)
    assert Estimates(1, 2, -3).smoothness == 3


def test_whatever_rests_on_estimates_is_conditional_everywhere(run_once: Any) -> None:
    run = run_once(ESTIMATED)
    for (certificate, found), row in zip(run.certified, run.summary, strict=True):
        constants = certificate.training.constants
        assert {constants.G.provenance, constants.L.provenance} == {"estimated"}
        assert found.holds
        if row["method"] in ("retrain", "do-nothing"):
            continue
        assert certificate.epsilon == pytest.approx(1.0, rel=1e-6)
        assert certificate.conditional
        assert any("Constants are estimates" in premise for premise in certificate.premises)
        assert certified(row) == "1†*"
        assert "Conditional on its estimated or declared constants" in words.outcome(certificate, found, None)
        assert dict(words.constants(certificate))["L, smoothness"].endswith("estimated from data")
    legend = table.legend(run.summary)
    assert any(line.startswith("* conditional") for line in legend)
    assert any("Constants are estimates" in line for line in legend)
    assert "No method but retraining reaches ε = 1 unconditionally" in " ".join(words.verdict(run))
    assert "(*), if constants hold that are not proven" in " ".join(words.verdict(run))
    assert not run.certified[4][0].premises


def test_the_verifier_estimates_again_from_the_models_that_are_kept(run_once: Any) -> None:
    run = run_once(ESTIMATED)
    findings = verify_folder(run.path)
    assert [one for one in findings if one.status == "FAILS"] == []
    (found,) = (one for one in findings if one.what == "estimated constants")
    assert (found.status, "5 rounds" in found.sentence) == ("holds", True)
    run.learning["requests"][0]["constants"]["L"]["value"] *= 0.9
    with pytest.raises(MismatchError, match="L is recorded as"):
        check_estimates(run, rebuild(run))


def test_the_audit_catches_estimates_that_are_too_small() -> None:
    """A measured divergence beyond what too small a G and L allow is a violation, not a certificate."""
    simulation = SMALL.simulation()
    learned, (learning,) = simulation.learn(range(SMALL.rounds + 1))
    oracle = simulation.retrain(SMALL.rounds, range(SMALL.rounds + 1))
    constants = learning.constants
    tiny = replace(constants, model="mlp", G=Constant(constants.G.value / 1e3, "estimated"), settings={})
    for claimed, holds in ((learning, True), (replace(learning, constants=tiny), False)):
        method = METHODS["r2d"](rewind=0.5)
        plan = method.plan(claimed)
        certificate = certify(claimed, plan.release, plan.claim)
        outcome = simulation.execute(method, plan, learned, 0)
        divergence = (outcome.centre - oracle.at(SMALL.rounds)).norm(dim=1).numpy()
        assert audit(certificate, claimed.mixing, divergence).holds == holds
        assert certificate.conditional != holds


def test_a_plan_does_not_know_what_is_estimated_later() -> None:
    with pytest.raises(ScenarioError, match="not known before: plan with the model declared"):
        build_planned_network(resolve(ESTIMATED))


def test_settings_that_keep_other_models_are_refused(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = "leave learning.checkpoints out, or use model.constants=unknown"
    refused_here(ESTIMATED, tmp_path, capsys, words, "learning.checkpoints={every: 2}")


def test_constants_are_unknown_or_estimated(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {**ESTIMATED, "model": {"kind": "mlp", "constants": "proven"}}
    refused_here(wrong, tmp_path, capsys, "'unknown' or 'estimated'")
    network = build_planned_network(resolve({**ESTIMATED, "model": {"kind": "mlp"}}))
    assert rounds_of_estimates(network) == set()
