"""The area under the ROC curve, held against scikit-learn, and where it stands in a run."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from rewindnet.clients.metrics import auc
from rewindnet.clients.metrics.auc import area_under_curve
from rewindnet.clients.models import MODELS
from rewindnet.experiments.report import table
from rewindnet.experiments.report.columns import columns_of
from rewindnet.experiments.runs.measures import areas as areas_on
from rewindnet.experiments.verify.measures import check_measures
from rewindnet.experiments.verify.rebuild import rebuild
from rewindnet.experiments.verify.records import MismatchError
from rewindnet.experiments.verify.verify import verify_folder

BINARY: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 120, "dimensions": 3, "classes": 2, "separation": 1.0},
    "partition": {"clients": 4},
    "model": {"kind": "mlp", "widths": [3]},
    "topology": "ring",
    "learning": {"rounds": 6, "step_size": 0.3},
    "deletion": {"samples": 8},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.05}, "retrain"],
}


@pytest.mark.parametrize("model", ["logistic", "sigmoid", "mlp"])
@pytest.mark.parametrize("ranked", [1, 1 << 20])
def test_areas_are_those_of_scikit_learn(model: str, ranked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auc, "_RANKED", ranked)
    monkeypatch.setattr(auc, "_CHUNK", 64)
    made, generator = MODELS[model](3, 2), np.random.default_rng(0)
    theta = torch.from_numpy(generator.standard_normal((5, made.parameters)))
    # Whole numbers give ties.
    x = made.design(torch.from_numpy(generator.integers(-1, 2, (40, 3)).astype(float)))
    targets = torch.from_numpy(made.targets(generator.integers(0, 2, 40)))
    found = area_under_curve(made, theta, x, targets)
    scores = made.scores(theta, x).numpy()
    odds = scores[..., -1] - (scores[..., 0] if scores.shape[2] > 1 else 0)
    np.testing.assert_allclose(found, [roc_auc_score(targets, of) for of in odds], rtol=1e-12)
    assert area_under_curve(made, theta, x[:4], torch.ones(4, dtype=torch.int64)) is None


def test_there_is_no_area_of_three_classes() -> None:
    made = MODELS["logistic"](3, 3)
    x = made.design(torch.randn(6, 3, dtype=torch.float64))
    assert area_under_curve(made, torch.zeros(1, made.parameters).double(), x, torch.arange(6) % 3) is None


def test_a_binary_task_reports_areas_and_the_verifier_measures_them_again(run_once: Any) -> None:
    run = run_once(BINARY)
    for method, row in zip(run.methods, run.summary, strict=True):
        areas = method.metrics["auc"]
        assert areas.keys() == {"test", "retain", "forget"}
        for name, scores in areas.items():
            assert row["auc"][name] == {
                "mean": pytest.approx(np.mean(scores["nodes"])),
                "lowest": min(scores["nodes"]),
            }
    shown = dict(columns_of(run.summary))
    means = [run.summary[0]["auc"][name]["mean"] for name in ("test", "retain", "forget")]
    assert shown["AUC"](run.summary[0]) == "/".join(f"{mean:.2f}" for mean in means)
    assert any(line.startswith("AUC: ") for line in table.legend(run.summary))
    assert [found for found in verify_folder(run.path) if found.status == "FAILS"] == []
    rebuilt, training, areas = rebuild(run), run.training_run_of(0), run.methods[0].metrics["auc"]
    for which, where, wrong in (
        ("the area under the curve on test", "test", {"nodes": [0.1] * 4}),
        ("of the average model on retain", "retain", {"average_model": 0.1}),
    ):
        run.methods[0].metrics["auc"] = {**areas, where: {**areas[where], **wrong}}
        with pytest.raises(MismatchError, match=which):
            check_measures(run, rebuilt, training, 0)


def test_a_task_of_more_classes_has_no_areas() -> None:
    made = MODELS["logistic"](3, 3)
    sets = {"test": (made.design(torch.randn(6, 3, dtype=torch.float64)), torch.arange(6) % 3)}
    assert areas_on(made, torch.zeros(1, made.parameters).double(), sets) is None
