"""Clients that project onto a ball learn on from released models whose noise lies outside it."""

from pathlib import Path

import numpy as np
from runs import run_through

from rewindnet.experiments.verify.verify import verify_folder

SCENARIO = {
    "data": {"source": "synthetic", "samples": 240, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 8, "step_size": 0.5, "radius": 0.5, "after_request": "continue-from-release"},
    "deletion": {"requests": [{"client": 0, "samples": 5, "round": 4}, {"client": 2, "samples": 4}]},
    "unlearning": [{"method": "r2d", "rewind": 0.25, "view": "joint"}, "do-nothing"],
}


def failures(folder: Path) -> list[str]:
    return [finding.sentence for finding in verify_folder(folder) if finding.status == "FAILS"]


def test_a_release_outside_the_ball_is_no_fault_of_learning(tmp_path: Path) -> None:
    folder = run_through(SCENARIO, tmp_path / "run")
    longest = [
        np.linalg.norm(np.asarray(folder.weights(f"checkpoints/learned-1-0-{t:06d}")), axis=1).max() for t in (4, 8)
    ]
    assert longest[0] > 1
    assert longest[1] < 0.5001
    assert failures(folder.path) == []
