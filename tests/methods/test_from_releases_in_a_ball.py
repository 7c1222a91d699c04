"""Clients that project onto a ball learn on from released models whose noise lies outside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from runs import run_through
from safetensors.numpy import load_file, save_file

from rewindnet.arrays import sha256_of
from rewindnet.experiments.folder.format import digest, sealed
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 240, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 8, "step_size": 0.5, "radius": 0.5, "after_request": "continue-from-release"},
    "deletion": {"requests": [{"client": 0, "samples": 5, "round": 4}, {"client": 2, "samples": 4}]},
    "unlearning": [{"method": "r2d", "rewind": 0.25, "view": "joint"}, "do-nothing"],
}


def failures(folder: Path) -> list[str]:
    return [finding.sentence for finding in verify_folder(folder) if finding.status == "FAILS"]


def longest_in(folder: RunFolder, checkpoint: str) -> float:
    """The largest norm of a model in a checkpoint."""
    return float(np.linalg.norm(np.asarray(folder.weights(f"checkpoints/{checkpoint}")), axis=1).max())


def test_a_release_outside_the_ball_is_no_fault_of_learning(tmp_path: Path) -> None:
    folder = run_through(SCENARIO, tmp_path / "run")
    assert longest_in(folder, "learned-1-0-000004") > 1
    assert longest_in(folder, "learned-1-0-000008") < 0.5001
    assert failures(folder.path) == []


def test_noise_on_a_checkpoint_that_no_descent_follows_is_no_fault_of_learning(tmp_path: Path) -> None:
    method = {"method": "r2d", "rewind": 0, "sigma": 1.0, "placement": "rewind", "view": "joint"}
    folder = run_through({**SCENARIO, "unlearning": [method]}, tmp_path / "run")
    assert longest_in(folder, "learned-1-0-000004") > 1
    assert failures(folder.path) == []


def test_retraining_from_noise_that_no_descent_follows_is_no_fault_of_learning(tmp_path: Path) -> None:
    requests = [{"client": 0, "samples": 5, "round": 8}, {"client": 2, "samples": 4}]
    learning = {**SCENARIO["learning"], "rounds": 9}
    method = {"method": "r2d", "rewind": 0.06, "sigma": 1.0, "placement": "rewind", "view": "joint"}
    scenario = {**SCENARIO, "learning": learning, "deletion": {"requests": requests}, "unlearning": [method]}
    folder = run_through(scenario, tmp_path / "run")
    assert longest_in(folder, "retrained-1-0-000008") > 1
    assert failures(folder.path) == []


def test_a_model_outside_the_ball_is_found_where_a_descent_follows_the_noise(tmp_path: Path) -> None:
    method = {"method": "r2d", "rewind": 0.25, "sigma": 1.0, "placement": "rewind", "view": "joint"}
    folder = run_through({**SCENARIO, "unlearning": [method]}, tmp_path / "run")
    assert failures(folder.path) == []
    file = folder.path / "checkpoints/learned-1-0-000004.safetensors"
    theta = load_file(file)["theta"] * 3
    save_file({"theta": theta}, file)
    hashes = folder.record["weights_sha256"] | {"checkpoints/learned-1-0-000004": sha256_of(theta)}
    record = {**folder.record, "weights_sha256": hashes, "sha256": digest(hashes)}
    (folder.path / "record.json").write_text(json.dumps(sealed(record)))
    assert any("outside the ball" in sentence for sentence in failures(folder.path))
