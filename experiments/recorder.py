"""The run folder: one writer, every file whole or not there."""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from scipy.sparse import csr_array
from torch import Tensor

import topologies
from certificates import Audit, Certificate, Learning
from clients.parallel import threads
from experiments.assemble import Experiment
from experiments.folder import FORMATS, digest, read_record, read_scenario, state
from experiments.registries import ScenarioError
from experiments.scenario import Scenario
from simulator.engine import Journal, NoJournal
from simulator.simulation import Outcome, Trajectory

#: The part of a run folder that is there only until the run is complete.
_UNFINISHED = "unfinished"

_LIBRARIES = ("torch", "numpy", "scipy", "networkx", "safetensors")


def check_target(folder: Path, scenario: Scenario, force: bool) -> bool:
    """Whether the folder holds an incomplete run of this very scenario, to go on with.

    Raises:
        ScenarioError: if it holds anything else and is not to be overwritten (`force`), or cannot exist.
    """
    if not folder.exists():
        blocked = [parent for parent in folder.parents if parent.exists() and not parent.is_dir()]
        if blocked:
            raise ScenarioError(f"{folder} cannot be made: {blocked[0]} is not a folder; choose another with --out")
        return False
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    if not (folder / "record.json").is_file():
        raise ScenarioError(f"{folder} exists and is not a run folder; choose another with --out")
    if force:
        return False
    if state(folder) == "complete":
        raise ScenarioError(f"{folder} already holds a run; choose another with --out, or overwrite it with --force")
    if not (folder / "scenario.yaml").is_file():
        # It was killed before it had written its first file.
        return False
    other = _differs(folder, scenario)
    if other:
        raise ScenarioError(
            f"{folder} holds an incomplete run {other}; choose another with --out, or overwrite it with --force"
        )
    return True


def _differs(folder: Path, scenario: Scenario) -> str | None:
    """What an incomplete run has different, so that it cannot be gone on with; None if it can."""
    begun, now = read_scenario(folder), scenario.plain()
    if now["backend"]["precision"] == "exact" == begun["backend"]["precision"]:
        # Every transport computes the same bits, so that what one began another can finish.
        for either in (begun, now):
            either["backend"] = {key: either["backend"][key] for key in ("precision", "dtype")}
    if begun != now:
        keys = [key for key in now if begun.get(key) != now[key]]
        return f"of another scenario (its {', '.join(keys) or 'keys'} {'differ' if len(keys) > 1 else 'differs'})"
    versions = read_record(folder)["versions"]
    changed = [library for library, version in _versions().items() if versions.get(library) != version]
    return f"of other versions of {', '.join(changed)}" if changed else None


def _versions() -> dict[str, str]:
    own = {"rewindnet": version("rewindnet"), "python": platform.python_version()}
    return own | {library: version(library) for library in _LIBRARIES}


class FolderJournal:
    """States of unfinished tasks, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """What there is."""
        return [file.stem for file in self._folder.glob("*.safetensors")]

    def read(self, name: str) -> Mapping[str, Tensor]:
        """The tensors of one state.

        Raises:
            OSError: if the file cannot be read, or is damaged.
        """
        try:
            return load_file(self._file(name))
        except SafetensorError as problem:
            raise OSError(f"{self._file(name)} is damaged ({problem}); begin anew with --force") from None

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """The whole state or none of it."""
        _write(self._file(name), save({key: tensor.cpu().contiguous() for key, tensor in tensors.items()}))

    def remove(self, name: str) -> None:
        """It is needed no longer."""
        self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"


class Recorder:
    """Writes everything a run leaves.

    Args:
        folder: the run folder; must have passed `check_target`. None where another process writes it.
        experiment: what is run.
        resume: go on with the incomplete run in the folder; otherwise what is there is removed.

    Attributes:
        secret: whether un-noised states may not be written. Noise from the operating system is a secret: un-noised
            models on disk would give it away, and so would models whose noise can be drawn again.
        journal: where states of unfinished tasks are written down; None where they may not be.
    """

    def __init__(self, folder: Path | None, experiment: Experiment, resume: bool = False) -> None:
        scenario = experiment.scenario
        self._folder, self._keep = folder, scenario.record.weights
        self.secret = any(method.settings.get("noise_source") == "os" for method in scenario.unlearning)
        self.journal: Journal | None = NoJournal() if folder is None else FolderJournal(folder / _UNFINISHED)
        if self.secret:
            self.journal = None
        self._lines: dict[tuple[str, int], str] = {}
        if folder is None:
            return
        resume = resume and not self.secret
        if not resume and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        begun = read_record(folder) if resume else None
        self._record: dict[str, Any] = {
            "format": FORMATS[-1],
            "state": "incomplete",
            "name": scenario.name,
            "seed": scenario.seed,
            "started": begun["started"] if begun else now,
            "resumed": [*begun["resumed"], now] if begun else [],
            "versions": _versions(),
            "platform": {
                "system": platform.platform(),
                "processors": os.cpu_count(),
                "threads": threads(),
            },
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "seconds": begun["seconds"] if begun else {},
            "weights_sha256": begun["weights_sha256"] if begun else {},
        }
        self._write_record()
        _write(folder / "scenario.yaml", scenario.to_yaml())
        topology = topologies.record(experiment.graph, experiment.mixing.weights)
        schedule = {**scenario.topology.schedule.plain(), "seed": scenario.seed}
        _write_json(folder / "topology.json", {**topology, "schedule": schedule})
        self._take_lines(folder)
        self._metrics = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def _take_lines(self, folder: Path) -> None:
        """Read the lines of the rounds that an earlier process ran, and put them where they survive this one."""
        earlier = folder / _UNFINISHED / "metrics.jsonl"
        for file in (earlier, folder / "metrics.jsonl"):
            for text in file.read_text("utf-8").splitlines() if file.is_file() else ():
                # The last line of a killed process may be torn.
                with suppress(ValueError):
                    line = json.loads(text)
                    self._lines[line["phase"], line["round"]] = text
        if self._lines:
            _write(earlier, "".join(f"{text}\n" for text in self._lines.values()))

    def seconds(self, what: str, seconds: float) -> None:
        """How long a part of the run took."""
        if self._folder is not None:
            self._record["seconds"][what] = round(seconds, 3)

    def round(self, line: Mapping[str, Any], repeated: bool = False) -> None:
        """One line of metrics.jsonl; of a repeated round, the line that it had before."""
        if self._folder is None:
            return
        before = self._lines.get((line["phase"], line["round"])) if repeated else None
        self._metrics.write((before or json.dumps(line)) + "\n")
        self._metrics.flush()

    def learned(
        self, learning: Learning, forget: Mapping[int, NDArray[np.int64]], learned: Trajectory, rounds: Collection[int]
    ) -> None:
        """How the network learned, the forget set, and the checkpoints after these numbers of rounds. Collective."""
        asked = {str(node): positions.tolist() for node, positions in forget.items()}
        self._json("learning", {**learning.to_record(), "forget": asked})
        self._checkpoints("learned", learned, rounds)

    def retrained(self, oracle: Trajectory, rounds: Collection[int]) -> None:
        """The checkpoints of retraining after these numbers of rounds. Collective."""
        self._checkpoints("retrained", oracle, rounds)

    def recorded(self, index: int, method: str) -> tuple[Certificate, Audit, dict[str, Any]] | None:
        """What an earlier process has recorded of a method, if it came to that; its lines are carried over."""
        place = f"{index}-{method}"
        if self._folder is None or f"methods/{place}/released" not in self._record["weights_sha256"]:
            return None
        for (phase, _), text in self._lines.items():
            if phase == place:
                self._metrics.write(text + "\n")
        certificate, found, metrics = (
            json.loads((self._folder / "methods" / place / f"{name}.json").read_text("utf-8"))
            for name in ("certificate", "audit", "metrics")
        )
        return Certificate.from_record(certificate), Audit.from_record(found), metrics

    def method(
        self, index: int, certificate: Certificate, audit: Audit, metrics: Mapping[str, Any], outcome: Outcome
    ) -> None:
        """What one unlearning method left."""
        place = f"methods/{index}-{certificate.method}"
        self._json(f"{place}/certificate", certificate.to_record())
        self._json(f"{place}/audit", audit.to_record())
        self._json(f"{place}/metrics", metrics)
        self._weights(f"{place}/centre", outcome.centre, secret=True)
        if certificate.release.rounds_after_noise:
            self._weights(f"{place}/noised", outcome.noised, secret=True)
        self._weights(f"{place}/released", outcome.released, secret=certificate.noise_source != "os")
        self._write_record()

    def finish(self, rows: list[dict[str, Any]], traffic: Mapping[str, csr_array], message_bytes: int) -> None:
        """The table, and with it the run is complete."""
        if self._folder is None:
            return
        self._metrics.close()
        self._json("summary", {"rows": rows})
        _write(self._folder / "traffic.json", json.dumps(_traffic(traffic, message_bytes)) + "\n")
        self._record["sha256"] = digest(self._record["weights_sha256"])
        self._record["state"] = "complete"
        self._record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_record()
        shutil.rmtree(self._folder / _UNFINISHED, ignore_errors=True)

    def _checkpoints(self, name: str, trajectory: Trajectory, rounds: Collection[int]) -> None:
        for t in sorted(rounds):
            self._weights(f"checkpoints/{name}-{t:06d}", trajectory.at(t), secret=True)
        self._write_record()

    def _weights(self, place: str, theta: Tensor, *, secret: bool) -> None:
        """Keep θ, or at least its hash; nothing of an un-noised model where the noise is a secret."""
        if self._folder is None or (secret and self.secret):
            return
        plain = theta.cpu().contiguous()
        self._record["weights_sha256"][place] = hashlib.sha256(plain.numpy().tobytes()).hexdigest()
        if self._keep:
            _write(self._folder / f"{place}.safetensors", save({"theta": plain}))

    def _write_record(self) -> None:
        if self._folder is not None:
            _write_json(self._folder / "record.json", self._record)

    def _json(self, name: str, content: Mapping[str, Any]) -> None:
        if self._folder is not None:
            _write_json(self._folder / f"{name}.json", content)


def _traffic(traffic: Mapping[str, csr_array], message_bytes: int) -> dict[str, Any]:
    """How many messages each part of the run sent over each directed edge: `traffic.json`."""
    parts = {}
    for name, carried in traffic.items():
        counts = carried.tocoo()
        parts[name] = {"from": counts.col.tolist(), "to": counts.row.tolist(), "messages": counts.data.tolist()}
    return {"message_bytes": message_bytes, "parts": parts}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def _write(path: Path, content: str | bytes) -> None:
    """The whole file or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    beside.replace(path)
