"""The contests of networks of neural networks."""

from collections.abc import Mapping
from typing import Any

from rewindnet.clients.methods.baselines import DoNothing
from rewindnet.experiments.bench.contest import Contest, Entry

_FAST = ("backend.kind=in-process", "backend.threads=1", "backend.precision=fast")
_MINIBATCH = {"kind": "poisson", "batch": 32}


def _learning(
    nodes: int, samples: int, data: Mapping[str, object], model: Mapping[str, object], steps: int = 8
) -> dict[str, Any]:
    """Describe a scenario on a regular graph, in single precision.

    Args:
        nodes: N.
        samples: the number of samples of each client.
        data: the data.
        model: the model.
        steps: the number of local steps in a round.
    """
    return {
        "data": {"samples": nodes * samples * 5 // 4, "classes": 10, **data},
        "model": dict(model),
        "partition": {"clients": nodes},
        "topology": {"kind": "random-regular", "degree": min(8, nodes - 2)},
        "learning": {"local_steps": steps, "step_size": 0.05, "sampling": _MINIBATCH},
        "deletion": {"samples": 1},
        "unlearning": [DoNothing.name],
        "backend": {"dtype": "float32"},
    }


def _contest(title: str, scenario: Mapping[str, Any], by_hand: str = "", needs_gpu: bool = False) -> Contest:
    """Compare the simulator with a loop over modules, with code batched by hand, and with one model on all samples."""
    hand = {"batched by hand": Entry(_FAST, by_hand)} if by_hand else {}
    entries = {
        "loop over modules": Entry(_FAST, "module-loop"),
        "rewindnet": Entry(_FAST),
        **hand,
        "one model, all samples": Entry(_FAST, "one-model"),
    }
    if needs_gpu:
        entries["rewindnet, bfloat16"] = Entry((*_FAST, "backend.mixed_precision=bfloat16"))
        entries["loop, bfloat16"] = Entry(_FAST, "module-loop-bf16")
        entries["one model, bfloat16"] = Entry(_FAST, "one-model-bf16")
    return Contest(title, scenario, 2, entries, needs_gpu=needs_gpu)


_FLAT = {"source": "synthetic", "dimensions": 784}
_IMAGES = {"source": "synthetic-images", "side": 28}
_STEPS = "eight steps on 32 samples, float32"
_TWO_STEPS = "two steps on 32 samples, float32"

DEEP_CONTESTS: Mapping[str, Contest] = {
    "mlp": _contest(
        f"100 nodes, MLP 784-64-10, {_STEPS}",
        _learning(100, 256, _FLAT, {"kind": "mlp", "widths": [64]}),
        "mlp-together",
    ),
    "module": _contest(
        f"100 nodes, MLP 784-64-10 as a torch module of one's own, {_STEPS}",
        _learning(100, 256, _FLAT, {"kind": "module", "path": "rewindnet.experiments.bench.modules:mlp"}),
        "mlp-together",
    ),
    "cnn": _contest(
        f"40 nodes, LeNet of 107,786 parameters, {_STEPS}",
        _learning(40, 256, _IMAGES, {"kind": "cnn"}),
        "lenet-together",
    ),
    "cnn-1000": _contest(
        f"1,000 nodes, LeNet of 107,786 parameters, {_TWO_STEPS}",
        _learning(1000, 64, _IMAGES, {"kind": "cnn"}, steps=2),
        "lenet-together",
        needs_gpu=True,
    ),
    "resnet18": _contest(
        f"16 nodes, ResNet-18 with GroupNorm on 3 × 32 × 32, {_TWO_STEPS}",
        _learning(
            16,
            64,
            {"source": "synthetic-images", "channels": 3, "side": 32},
            {"kind": "resnet18", "norm": "group", "activation": "relu"},
            steps=2,
        ),
        needs_gpu=True,
    ),
}
