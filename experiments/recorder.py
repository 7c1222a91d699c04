"""The run folder: one writer, every file whole or not there."""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

import topologies
from certificates import Audit, Certificate, Learning
from experiments.assemble import Experiment
from experiments.folder import FORMATS
from experiments.registries import ScenarioError
from simulator.simulation import Outcome, Trajectory

_LIBRARIES = ("torch", "numpy", "scipy", "networkx", "safetensors")


def check_target(folder: Path, force: bool) -> None:
    """Refuse to write where something already is.

    Raises:
        ScenarioError: if the folder exists and either `force` is off or it is not a run folder, or if it cannot exist.
    """
    if not folder.exists():
        blocked = [parent for parent in folder.parents if parent.exists() and not parent.is_dir()]
        if blocked:
            raise ScenarioError(f"{folder} cannot be made: {blocked[0]} is not a folder; choose another with --out")
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not (folder / "record.json").is_file():
        raise ScenarioError(f"{folder} exists and is not a run folder; choose another with --out")
    if not force:
        raise ScenarioError(f"{folder} already holds a run; choose another with --out, or overwrite it with --force")


class Recorder:
    """Writes everything a run leaves.

    Args:
        folder: the run folder; must have passed `check_target`. What an earlier run left there is removed.
        experiment: what is run.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self.folder = folder
        scenario = experiment.scenario
        self._keep = scenario.record.weights
        # Noise from the operating system is a secret. Un-noised models on disk would give it away, and so would models
        # whose noise can be drawn again.
        self.secret = any(method.settings.get("noise_source") == "os" for method in scenario.unlearning)
        self._record: dict[str, Any] = {
            "format": FORMATS[-1],
            "state": "incomplete",
            "name": scenario.name,
            "seed": scenario.seed,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"rewindnet": version("rewindnet"), "python": platform.python_version()}
            | {library: version(library) for library in _LIBRARIES},
            "platform": {
                "system": platform.platform(),
                "processors": os.cpu_count(),
                "threads": torch.get_num_threads(),
            },
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "seconds": {},
            "weights_sha256": {},
        }
        self._write_record()
        _write(folder / "scenario.yaml", scenario.to_yaml())
        _write_json(folder / "topology.json", topologies.record(experiment.graph, experiment.mixing.weights))
        self._metrics = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def seconds(self, what: str, seconds: float) -> None:
        """How long a part of the run took."""
        self._record["seconds"][what] = round(seconds, 3)

    def round(self, line: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl."""
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()

    def learned(
        self, learning: Learning, forget: Mapping[int, NDArray[np.int64]], learned: Trajectory, rounds: Collection[int]
    ) -> None:
        """How the network learned, the forget set, and the checkpoints after these numbers of rounds."""
        asked = {str(node): positions.tolist() for node, positions in forget.items()}
        _write_json(self.folder / "learning.json", {**learning.to_record(), "forget": asked})
        self._checkpoints("learned", learned, rounds)

    def retrained(self, oracle: Trajectory, rounds: Collection[int]) -> None:
        """The checkpoints of retraining after these numbers of rounds."""
        self._checkpoints("retrained", oracle, rounds)

    def method(
        self, index: int, certificate: Certificate, audit: Audit, metrics: Mapping[str, Any], outcome: Outcome
    ) -> None:
        """What one unlearning method left."""
        place = f"methods/{index}-{certificate.method}"
        _write_json(self.folder / place / "certificate.json", certificate.to_record())
        _write_json(self.folder / place / "audit.json", audit.to_record())
        _write_json(self.folder / place / "metrics.json", dict(metrics))
        self._weights(f"{place}/released", outcome.released, secret=certificate.noise_source != "os")
        self._weights(f"{place}/centre", outcome.centre, secret=True)
        if certificate.release.rounds_after_noise:
            self._weights(f"{place}/noised", outcome.noised, secret=True)

    def finish(self, rows: list[dict[str, Any]]) -> None:
        """The table, and with it the run is complete."""
        self._metrics.close()
        _write_json(self.folder / "summary.json", {"rows": rows})
        self._record["state"] = "complete"
        self._record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_record()

    def _checkpoints(self, name: str, trajectory: Trajectory, rounds: Collection[int]) -> None:
        for t in sorted(rounds):
            self._weights(f"checkpoints/{name}-{t:06d}", trajectory.checkpoints[t], secret=True)

    def _weights(self, place: str, theta: Tensor, *, secret: bool) -> None:
        """Keep θ, or at least its hash; nothing of an un-noised model where the noise is a secret."""
        if secret and self.secret:
            return
        plain = theta.cpu().contiguous()
        self._record["weights_sha256"][place] = hashlib.sha256(plain.numpy().tobytes()).hexdigest()
        if self._keep:
            _write(self.folder / f"{place}.safetensors", save({"theta": plain}))

    def _write_record(self) -> None:
        _write_json(self.folder / "record.json", self._record)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def _write(path: Path, content: str | bytes) -> None:
    """The whole file or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    beside.replace(path)
