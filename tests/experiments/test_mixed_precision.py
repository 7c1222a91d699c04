"""Local steps in mixed precision: products in bfloat16, parameters as they are, and nothing certified of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from runs import SharedRuns, refused_here, rehash, run_through
from torch import nn

from rewindnet.clients.models.deep import torch_model
from rewindnet.clients.training.mixed_precision import UNCOVERED
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder

IMAGES: dict[str, Any] = {
    "name": "mixed",
    "data": {"source": "digits", "features": "raw", "limit": 160},
    "model": {"kind": "cnn", "channels": [4], "kernel": 3, "widths": [8]},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 4, "step_size": 0.1},
    "deletion": {"client": 1, "samples": 3},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "sigma": 0.01},
        {"method": "noisy-finetune", "rounds": 2, "start_radius": 1.0, "gradient_radius": 0.3, "step_size": 0.1},
        {"method": "gossip-dp", "clip": 0.3},
        "retrain",
        "do-nothing",
    ],
    "backend": {"dtype": "float32", "mixed_precision": "bfloat16"},
}
NET = "rewindnet.experiments.bench.modules:mlp"
VECTORS: dict[str, Any] = {
    **IMAGES,
    "data": {"source": "synthetic", "samples": 120, "dimensions": 16, "classes": 3},
    "model": {"kind": "module", "path": NET},
}
WITHOUT = "backend.mixed_precision=null"


def stepped(scenario: dict[str, Any], *settings: str) -> torch.Tensor:
    """The models of all clients after the local steps of one round."""
    setup = build_run(resolve(dict(scenario), settings))
    worker = setup.worker(range(4))
    generator = torch.Generator().manual_seed(1)
    theta = torch.randn(4, setup.network.model.parameters, generator=generator) * 0.3
    return worker.full.descend(theta, 0) - theta


@pytest.mark.parametrize("scenario", [IMAGES, VECTORS], ids=["one after the other", "together"])
@pytest.mark.parametrize("optimizer", ["{kind: sgd}", "{kind: sgd, momentum: 0.9}"])
@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_steps_differ_from_those_of_single_precision_by_the_rounding_of_bfloat16(
    scenario: dict[str, Any], optimizer: str, precision: str
) -> None:
    settings = (f"learning.optimizer={optimizer}", f"backend.precision={precision}", "unlearning=[retrain]")
    plain, mixed, again = (stepped(scenario, *settings, *more) for more in ((WITHOUT,), (), ()))
    assert torch.equal(mixed, again)
    assert mixed.dtype == torch.float32
    for one, other in zip(plain, mixed, strict=True):
        assert 2.0**-13 < float((one - other).norm() / one.norm()) < 2.0**-4


@pytest.mark.parametrize("scenario", [IMAGES, VECTORS], ids=["one after the other", "together"])
def test_layers_compute_in_bfloat16_and_only_in_local_steps(
    scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[torch.dtype, torch.dtype]] = set()
    model = build_run(resolve(dict(scenario))).network.model
    assert isinstance(model, torch_model.TorchModel)
    inside = torch_model.TorchModel._own_copy
    monkeypatch.setattr(torch_model.TorchModel, "_own_copy", lambda self, theta: _watched(inside(self, theta), seen))
    stepped(scenario)
    assert seen == {(torch.float32, torch.bfloat16)}
    seen.clear()
    model.scores(torch.zeros(1, model.parameters), torch.zeros(2, 64 if scenario is IMAGES else 16))
    assert seen == {(torch.float32, torch.float32)}


def _watched(module: nn.Module, seen: set[tuple[torch.dtype, torch.dtype]]) -> nn.Module:
    if not getattr(module, "watched", False):
        module.register_forward_hook(lambda layer, given, scores: seen.add((given[0].dtype, scores.dtype)))
        module.watched = True  # type: ignore[assignment]
    return module


def test_nothing_is_certified_of_coupled_steps_and_what_clips_is(run_once: SharedRuns) -> None:
    run = run_once(IMAGES)
    rewound, finetuned, private, retrained, _ = (certificate for certificate, _ in run.certified)
    assert rewound.epsilon is None
    assert rewound.reason is not None
    assert UNCOVERED in rewound.reason
    assert rewound.sensitivity == ()
    assert finetuned.epsilon == pytest.approx(1.0)
    assert private.epsilon is not None
    assert retrained.epsilon == 0.0
    findings = verify_folder(run.path)
    assert all(finding.holds for finding in findings), [finding for finding in findings if not finding.holds]


def test_the_verifier_knows_that_nothing_is_certified(tmp_path: Path) -> None:
    """A record of the same run as if its products had been in single precision does not follow from the scenario."""
    run = run_through(IMAGES, tmp_path / "run", WITHOUT)
    scenario = run.path / "scenario.yaml"
    scenario.write_text(scenario.read_text().replace("mixed_precision: null", "mixed_precision: bfloat16"))
    rehash(scenario)
    found = [finding.sentence for finding in verify_folder(run.path) if not finding.holds]
    assert any("what keeps learning from being covered" in sentence for sentence in found), found


def test_noise_is_drawn_elsewhere_and_that_of_earlier_versions_stays(run_once: SharedRuns) -> None:
    mixed = run_once(IMAGES).scenario
    plain = {**mixed, "backend": {**mixed["backend"], "mixed_precision": None}}
    earlier = {**mixed, "backend": {key: value for key, value in mixed["backend"].items() if key != "mixed_precision"}}
    assert computation_digest(plain) == computation_digest(earlier) != computation_digest(mixed)


ODD = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.first = nn.Linear(shape[0], classes)

    def forward(self, x):
        return torch.lerp(self.first(x), torch.ones(3), 0.5)
"""


def test_a_module_that_torch_cannot_compute_in_it_is_refused_before_anything_is_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = tmp_path / "odd.py", tmp_path / "run"
    code.write_text(ODD)
    folder.mkdir()
    settings = [f"model={{kind: module, path: '{code}:Odd'}}", "unlearning=[retrain]"]
    refused_here(VECTORS, folder, capsys, "torch cannot compute the model module in mixed precision", *settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["backend.dtype=float64"], "set backend.dtype=float32 too"),
        (["model={kind: mlp}"], "not for mlp"),
        (["model=logistic", "unlearning=[retrain]"], "not for logistic"),
        (["backend.mixed_precision=float16"], "'bfloat16'"),
    ],
)
def test_what_torch_does_not_compute_in_mixed_precision_is_refused(
    settings: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused_here(IMAGES, tmp_path, capsys, words, *settings)
