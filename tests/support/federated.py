"""A small network and what its clients compute, in numpy: what federated methods are held against."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from networks import SMALL, Network
from numpy.typing import NDArray

from rewindnet.clients.methods import Method
from rewindnet.simulator.outcome import Outcome, Trajectory
from rewindnet.simulator.simulation import Simulation

Rows = NDArray[np.float64]

CASE = replace(SMALL, l2=0.05, local_steps=2, client=2, sizes=(9, 12, 14, 7, 10), seed=11, precision="exact")

#: The client that deletes has a class of its own.
UNIQUE: dict[str, Any] = {
    "name": "unique",
    "data": {"source": "synthetic", "samples": 400, "dimensions": 6, "classes": 4, "separation": 3.0},
    "partition": {
        "kind": "pathological",
        "clients": 4,
        "num_classes_per_partition": 1,
        "class_assignment_mode": "deterministic",
    },
    "topology": {"kind": "complete", "mixing": "uniform"},
    "learning": {"rounds": 40, "local_steps": 2},
    "deletion": {"client": 1, "samples": "all"},
    "unlearning": ["gradient-ascent", "federaser", "do-nothing", "retrain"],
}


def data(simulation: Simulation, node: int, request: int = 0) -> tuple[Rows, NDArray[np.int64]]:
    """The design and labels that a client holds after so many requests."""
    (bucket,) = simulation.network.worker.blocks[request].only([node], torch.float64).buckets  # type: ignore[attr-defined]
    held = bucket.weight[0].numpy() > 0
    return bucket.x[0].numpy()[held], bucket.y[0].numpy()[held]


def slope(theta: Rows, x: Rows, y: NDArray[np.int64]) -> Rows:
    """The gradient of the mean cross-entropy; 0 of no samples."""
    scores = x @ theta.reshape(-1, x.shape[1]).T
    odds = np.exp(scores - scores.max(axis=1, keepdims=True, initial=0.0))
    missed = odds / odds.sum(axis=1, keepdims=True) - np.eye(scores.shape[1])[y]
    return (missed.T @ x / max(1, len(x))).ravel()


def descended(simulation: Simulation, node: int, theta: Rows, request: int = 0, steps: int = 2) -> Rows:
    """What a client makes of θ [d] in so many local steps, on what it holds after so many requests."""
    block = simulation.network.worker.full  # type: ignore[attr-defined]
    for _ in range(steps):
        theta = theta - block.step_size * (slope(theta, *data(simulation, node, request)) + block.model.l2 * theta)
    return theta


def unlearned(method: Method, case: Network) -> tuple[Simulation, Trajectory, Outcome]:
    """A network that has learned, and what the method has made of its last request."""
    simulation = case.simulation()
    ends = [request.rounds for request in simulation.requests]
    learned, known = simulation.learn({t for end in ends for t in method.checkpoints(end)})
    last = len(known) - 1
    return simulation, learned, simulation.execute(method, method.plan(known[last]), learned, 0, last)
