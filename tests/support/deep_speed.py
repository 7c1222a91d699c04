"""How fast local training of deep models is beside a loop over nodes with a torch module and SGD: prints a table.

    PYTHONPATH=tests/support python -m deep_speed [REPEATS]

Every contestant takes the same local steps on the same batches, one round of them for every node, on one thread in
single precision. The contestants take turns, so that other load on the machine meets all of them; medians of CPU time.
"""

import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from rewindnet.clients.models import MODELS, Model
from rewindnet.clients.training.client_block import ClientBlock, LocalTraining, make_block
from rewindnet.clients.training.parallel import one_torch_thread, use_threads
from rewindnet.clients.training.sampling import Sampling

SAMPLES, STEP_SIZE = 256, 0.05


class Work(NamedTuple):
    """One model and the local steps of one round.

    Attributes:
        kind: which model of ours.
        settings: its settings.
        shape: of a sample.
        nodes: the number of nodes.
        steps: the number of local steps.
        batch: the samples of each.
        module: makes the torch module of the loop.
    """

    kind: str
    settings: Mapping[str, Any]
    shape: tuple[int, ...]
    nodes: int
    steps: int
    batch: int
    module: Callable[[], nn.Module]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(784, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


WORK = {
    "mlp 784-64-10": Work("mlp", {"widths": [64]}, (784,), 100, 8, 32, mlp),
    "the same as any module": Work("module", {"path": "deep_speed:mlp"}, (784,), 100, 8, 32, mlp),
    "LeNet": Work("cnn", {}, (1, 28, 28), 100, 8, 32, lenet),
}


class Exactly(Sampling):
    """Every step of every node reads as many samples, drawn without replacement."""

    def __init__(self, steps: int, batch: int) -> None:
        self._steps, self._batch = steps, batch

    def masks(self, round: int, node: int, samples: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        keys = np.random.default_rng([round, node]).random((self._steps, samples))
        return keys.argsort(axis=1).argsort(axis=1) < self._batch

    def size(self, samples: int) -> float:
        return float(self._batch)


def block_of(work: Work, x: torch.Tensor, y: torch.Tensor) -> ClientBlock:
    """The nodes as this program computes them."""
    features = int(np.prod(work.shape))
    model: Model = MODELS[work.kind](features, 10, work.shape, **work.settings)
    shards = np.split(np.arange(len(y)), work.nodes)
    training = LocalTraining(Exactly(work.steps, work.batch))
    return make_block(model, x, y.numpy(), shards, step_size=STEP_SIZE, local_steps=work.steps, local_training=training)


def loop(work: Work, x: torch.Tensor, y: torch.Tensor, block: ClientBlock) -> Callable[[torch.Tensor], torch.Tensor]:
    """The nodes one after the other: a module each, and torch's SGD."""
    modules = [work.module() for _ in range(work.nodes)]
    optimizers = [torch.optim.SGD(module.parameters(), lr=STEP_SIZE) for module in modules]
    sampling, loss = Exactly(work.steps, work.batch), nn.CrossEntropyLoss()
    drawn = [sampling.masks(0, node, SAMPLES) for node in range(work.nodes)]
    batches = [
        [torch.from_numpy(np.flatnonzero(step) + node * SAMPLES) for step in drawn[node]] for node in range(work.nodes)
    ]

    def round(theta: torch.Tensor) -> torch.Tensor:
        for node, (module, optimizer) in enumerate(zip(modules, optimizers, strict=True)):
            torch.nn.utils.vector_to_parameters(theta[node], module.parameters())
            for rows in batches[node]:
                optimizer.zero_grad()
                loss(module(x[rows].view(-1, *work.shape)), y[rows]).backward()
                optimizer.step()
        return torch.stack([torch.nn.utils.parameters_to_vector(module.parameters()).detach() for module in modules])

    return round


def contest(work: Work, repeats: int) -> tuple[dict[str, float], float]:
    """Median CPU seconds of each contestant, and the largest difference of their results."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(work.nodes * SAMPLES, int(np.prod(work.shape)), generator=generator)
    y = torch.randint(0, 10, (len(x),), generator=generator)
    block = block_of(work, x, y)
    theta = torch.from_numpy(block.model.initial(np.random.default_rng(0))).float().repeat(work.nodes, 1)
    contestants = {"ours": lambda at: block.descend(at, 0), "loop": loop(work, x, y, block)}
    results = {name: run(theta) for name, run in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            began = time.process_time()
            run(theta)
            seconds[name].append(time.process_time() - began)
    apart = float((results["ours"] - results["loop"]).abs().max())
    return {name: median(taken) for name, taken in seconds.items()}, apart


def main(repeats: int) -> None:
    one_torch_thread()
    use_threads(1)
    print(f"{'work':26} {'ours ms':>8} {'loop ms':>8} {'times':>6} {'apart':>8}")
    for name, work in WORK.items():
        taken, apart = contest(work, repeats)
        ours, other = taken["ours"], taken["loop"]
        print(f"{name:26} {1e3 * ours:8.0f} {1e3 * other:8.0f} {other / ours:6.2f} {apart:8.1e}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
