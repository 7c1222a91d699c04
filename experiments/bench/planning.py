"""The time and the memory of planning large networks: the plan covers as many clients as `rewindnet plan` does."""

import json
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

import torch

from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.bench.contest import Timing
from rewindnet.experiments.bench.memory import forget_peak, peak
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.scenario.yaml_files import resolve

#: The name of the contest.
PLAN = "plan"
#: The numbers of nodes.
SIZES = (1_000_000,)
_SCENARIO: dict[str, Any] = {
    "data": {"source": "declared", "shape": [28, 28], "classes": 10},
    "partition": {"kind": "declared", "samples": 100},
    "topology": {"kind": "random-regular", "degree": 8},
    "learning": {"rounds": 500, "step_size": 2.0},
    "deletion": {"client": 0, "samples": "all"},
    "unlearning": [{"method": R2D.name, "rewind": 0.1, "view": "node"}],
}


def time_plans(
    repeats: int, settings: Sequence[str], notify: Callable[[str], None], sizes: Sequence[int] = SIZES
) -> dict[str, list[Timing]]:
    """Plan networks of several sizes, each several times, from the scenario to the noise of clients.

    Args:
        repeats: the number of repetitions.
        settings: settings of the scenarios, as on the command line.
        notify: receives a sentence about what is running.
        sizes: the numbers of nodes.

    Returns:
        For each size, what every repetition took, all in all.
    """
    found: dict[str, list[Timing]] = {f"{size:,} nodes": [] for size in sizes}
    for repetition in range(repeats):
        for size, (name, timings) in zip(sizes, found.items(), strict=True):
            notify(f"{name}, {repetition + 1} of {repeats}")
            scenario = resolve(json.loads(json.dumps(_SCENARIO)), (f"partition.clients={size}", *settings))
            forget_peak()
            wall, cpu = perf_counter(), process_time()
            make_plan(build_planned_network(scenario), {})
            timings.append(Timing(perf_counter() - wall, process_time() - cpu, peak(torch.device("cpu"))))
    return found
