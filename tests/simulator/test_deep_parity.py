"""Deep models over every transport: the same bits, records and traffic with every method that they take."""

from pathlib import Path
from typing import Any

import parity
import pytest
from parity import FLOWER, IN_PROCESS, mpi, same, side_by_side, with_mpi

TRANSPORTS = {"one": IN_PROCESS, "mpi-2": mpi(2), "flower": FLOWER}
VECTORS = {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3}
IMAGES = {"source": "digits", "features": "raw", "limit": 200}

MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mlp": (VECTORS, {"kind": "mlp", "widths": [5, 4], "activation": "smelu"}),
    "cnn": (IMAGES, {"kind": "cnn", "channels": [2], "kernel": 3, "widths": [4]}),
    "module": (VECTORS, {"kind": "module", "path": "net.py:Net", "settings": {"width": 5}, "l2": 0.01}),
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True}},
    "adam": {
        "optimizer": "adam",
        "gradient_clip": 0.5,
        "local_steps": 2,
        "sampling": {"kind": "poisson", "batch": 8},
    },
}

#: What deep models can answer with, whatever they learned with.
METHODS: list[Any] = [
    {"method": "r2d", "rewind": 0.5, "sigma": 0.01},
    {"method": "r2d", "rewind": 0.5, "sigma": 0.01, "placement": "rewind", "gossip_rounds": 1, "view": "average"},
    {"method": "warm-start", "rounds": 2, "sigma": 0.01},
    {"method": "noise-only", "sigma": 0.01},
    {"method": "noisy-finetune", "rounds": 2, "start_radius": 1.0, "gradient_radius": 0.3, "step_size": 0.1},
    {"method": "rr-du", "hops": 6, "optimizer": "adam"},
    {"method": "finetune", "epochs": 2, "batch": 8},
    {"method": "scrub", "epochs": 2, "max_steps": 1, "batch": 8},
    {"method": "manif-smc", "epochs": 1, "control_steps": 2, "way": "gossip"},
    {"method": "neggrad", "epochs": 2, "batch": 8, "clip": 1.0},
    {"method": "salun", "epochs": 1, "batch": 8, "way": "token", "optimizers": "dual-aa", "retain_momentum": "carried"},
    {"method": "sfron", "epochs": 1, "batch": 8, "retain_steps": 2},
    {"method": "fisher-forgetting"},
    {"method": "cns", "recursions": 2, "terms": 3},
    "retrain",
    "do-nothing",
]
#: It takes one step a round with all samples.
PRIVATE = {"method": "gossip-dp", "clip": 0.3}

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, classes, width):
        super().__init__()
        self.first, self.last = nn.Linear(shape[0], width), nn.Linear(width, classes)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))
"""


def scenario(model: str, learning: dict[str, Any], methods: list[Any]) -> dict[str, Any]:
    data, settings = MODELS[model]
    return {
        "name": "deep",
        "data": data,
        "model": {**settings},
        "partition": {"kind": "dirichlet", "clients": 4, "alpha": 2.0, "min_partition_size": 5},
        "topology": "ring",
        "learning": {"rounds": 4, "step_size": 0.05, **learning},
        "deletion": {"client": 1, "samples": 3},
        "unlearning": methods,
        "backend": {"dtype": "float32"},
    }


def leave_the_same(described: dict[str, Any], folder: Path, transports: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(NET)
    file = parity.write(described, folder)
    found = side_by_side(file, folder, transports)
    for transport in found:
        same(found[transport], found["one"])
    return found["one"]


@with_mpi
@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_deep_models_leave_the_same_over_every_transport(model: str, optimizer: str, tmp_path: Path) -> None:
    methods = [*METHODS, PRIVATE] if optimizer == "momentum" else METHODS
    one = leave_the_same(scenario(model, OPTIMIZERS[optimizer], methods), tmp_path, TRANSPORTS)
    assert len(one["weights_sha256"]) > len(methods)


@with_mpi
@pytest.mark.slow
def test_methods_of_plain_steps_leave_the_same_over_every_transport(tmp_path: Path) -> None:
    methods = ["hessian-free", "federaser", {"method": "gradient-ascent", "rounds": 2}, *METHODS[-4:]]
    leave_the_same(scenario("cnn", {}, methods), tmp_path, TRANSPORTS)


@with_mpi
@pytest.mark.slow
def test_augmented_images_and_schedules_leave_the_same_over_every_transport(tmp_path: Path) -> None:
    """What is drawn for an image depends on its client and its place there, and not on where the client lives."""
    learning = {
        **OPTIMIZERS["momentum"],
        "augmentation": {"crop": 1, "flip": True},
        "step_sizes": {"kind": "cosine", "warm_up": 1},
    }
    methods = [METHODS[0], {"method": "warm-start", "rounds": 2, "sigma": 0.01}, "retrain"]
    augmented = leave_the_same(scenario("cnn", learning, methods), tmp_path / "augmented", TRANSPORTS)
    del learning["augmentation"]
    plain = leave_the_same(scenario("cnn", learning, methods), tmp_path / "plain", {"one": IN_PROCESS})
    assert plain["weights_sha256"] != augmented["weights_sha256"]


@with_mpi
@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "module"])
def test_mixed_precision_leaves_the_same_over_every_transport(model: str, tmp_path: Path) -> None:
    described = scenario(model, OPTIMIZERS["momentum"], [METHODS[0], METHODS[4], "retrain"])
    plain = leave_the_same(described, tmp_path / "plain", {"one": IN_PROCESS})
    described["backend"]["mixed_precision"] = "bfloat16"
    mixed = leave_the_same(described, tmp_path / "mixed", TRANSPORTS)
    assert plain["weights_sha256"] != mixed["weights_sha256"]


@with_mpi
@pytest.mark.slow
def test_estimated_constants_are_the_same_over_every_transport(tmp_path: Path) -> None:
    methods = [{"method": "r2d", "rewind": 0.5, "bound": "instance"}, {"method": "warm-start", "rounds": 2}, "retrain"]
    described = scenario("cnn", {"rounds": 8}, methods)
    described["model"]["constants"] = "estimated"
    one = leave_the_same(described, tmp_path, TRANSPORTS)
    assert "checkpoints/learned-000006" in one["weights_sha256"]


def test_a_module_leaves_the_same_in_one_process_and_over_flower(tmp_path: Path) -> None:
    some, few = [METHODS[0], "retrain", "do-nothing"], {"one": IN_PROCESS, "flower": FLOWER}
    leave_the_same(scenario("module", {**OPTIMIZERS["momentum"], "rounds": 2}, some), tmp_path, few)
