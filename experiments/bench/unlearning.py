"""The time of unlearning beside that of retraining, for several depths of rewinding."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.runs.launch import run_in
from rewindnet.experiments.scenario.yaml_files import resolve

#: The name of the contest.
UNLEARNING = "unlearning"
#: The shares of the rounds of learning that are rewound.
DEPTHS = (0.1, 0.3, 0.5, 0.7, 0.9)
_SCENARIO: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 12_800, "dimensions": 784, "classes": 10},
    "partition": {"clients": 40},
    "topology": {"kind": "random-regular", "degree": 8},
    "learning": {"rounds": 100, "step_size": 0.1},
    "deletion": {"samples": 1},
    "unlearning": [{"method": R2D.name, "rewind": depth, "bound": "worst-case"} for depth in DEPTHS],
}


def time_unlearning(
    repeats: int, settings: Sequence[str], notify: Callable[[str], None]
) -> dict[str, list[dict[str, float]]]:
    """Run one scenario several times, and take the times that its run folder records.

    Args:
        repeats: the number of repetitions.
        settings: settings of the scenario, as on the command line.
        notify: receives a sentence about what is running.

    Returns:
        For each depth, what every repetition took: the seconds, and the share of the seconds of retraining.
    """
    found: dict[str, list[dict[str, float]]] = {f"{depth:.0%} rewound": [] for depth in DEPTHS}
    for repetition in range(repeats):
        notify(f"a run, {repetition + 1} of {repeats}")
        with TemporaryDirectory(prefix="rewindnet-") as scratch:
            done = run_in(resolve(json.loads(json.dumps(_SCENARIO)), settings), Path(scratch) / "run")
            for name, method in zip(found, done.methods, strict=False):
                seconds, share = method.metrics["cost"]["seconds"], method.metrics["cost_share"]["seconds"]
                found[name].append({"seconds": seconds, "share": share})
    return found
