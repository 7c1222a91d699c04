"""Writing a run folder: one writer, every file whole or not there."""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet import topologies
from rewindnet.certificates import Audit, Certificate, TrainingRun
from rewindnet.certificates.audits.noise import NoiseTraces
from rewindnet.clients.data.deletion import Arrival
from rewindnet.clients.training.parallel import threads
from rewindnet.experiments.folder.files import write, write_json
from rewindnet.experiments.folder.journal import UNFINISHED, FolderJournal
from rewindnet.experiments.folder.lock import LOCK, FolderLock
from rewindnet.experiments.folder.reader import FORMATS, digest, read_record
from rewindnet.experiments.folder.unfinished import (
    earlier_lines,
    earlier_noise,
    earlier_traffic,
    is_secret,
    note_noise,
    note_traffic,
    versions,
)
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.simulator.journal import Journal, NoJournal
from rewindnet.simulator.outcome import Outcome, Trajectory


class Recorder:
    """Writes everything that a run leaves.

    Args:
        folder: the run folder; must have passed `check_target`. None where another process writes it.
        network: that is run.
        resume: go on with the incomplete run in the folder; otherwise what is there is removed.
        command: that the user gave.

    Attributes:
        secret: whether states without noise may not be written.
        journal: where states of unfinished tasks are written down; None where they may not be.

    Raises:
        ScenarioError: if another process is writing to the folder.
    """

    def __init__(
        self, folder: Path | None, network: NetworkSetup, resume: bool = False, command: Sequence[str] = ()
    ) -> None:
        scenario = network.scenario
        self._folder, self._keep = folder, scenario.record.weights
        self.secret = is_secret(scenario)
        self.journal: Journal | None = None if self.secret else NoJournal()
        if folder is None:
            return
        self._lock = FolderLock(folder)
        if not resume:
            _empty(folder)
        if not self.secret:
            learning = scenario.learning
            steps = (learning.rounds, len(network.training_runs), learning.local_steps + 1)
            self.journal = FolderJournal(folder, (network.nodes, network.model.parameters), steps)
        self._record = _begun_record(scenario, command, read_record(folder) if resume else None)
        self._write_record()
        write(folder / "scenario.yaml", scenario.to_yaml())
        topology = topologies.record(network.graph, network.mixing.weights)
        write_json(folder / "topology.json", {**topology, **_schedule_record(network)})
        self._traffic = earlier_traffic(folder)
        self._lines = earlier_lines(folder)
        if self._lines:
            write(folder / UNFINISHED / "metrics.jsonl", "".join(f"{text}\n" for text in self._lines.values()))
        self._metrics = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def close(self) -> None:
        """Let other processes write to the folder, whether the run is complete or not."""
        if self._folder is not None:
            self._metrics.close()
            self._lock.release()

    def seconds(self, what: str, seconds: float) -> None:
        """Note how long a part of the run took."""
        if self._folder is not None:
            self._record["seconds"][what] = round(seconds, 3)

    def round(self, line: Mapping[str, Any], repeated: bool = False) -> None:
        """Write one line of metrics.jsonl; for a repeated round, the line that it had before."""
        if self._folder is None:
            return
        # A round that is repeated without having had a line was run in an earlier part of the run, for another method.
        text = self._lines.get((line["phase"], line["round"])) if repeated else json.dumps(line)
        if text is not None:
            self._metrics.write(text + "\n")
            self._metrics.flush()

    def carried(self, traffic: Mapping[str, csr_array]) -> None:
        """Note the messages that the parts of the run so far have sent over every directed edge."""
        if self._folder is None:
            return
        for name in [name for name in traffic if name not in self._traffic]:
            counts = traffic[name].tocoo()
            self._traffic[name] = {
                "from": counts.col.tolist(),
                "to": counts.row.tolist(),
                "messages": counts.data.tolist(),
            }
        note_traffic(self._folder, self._traffic)

    def learned(
        self,
        requests: Sequence[TrainingRun],
        arrivals: Sequence[Arrival],
        learned: Trajectory,
        rounds: Collection[int],
    ) -> None:
        """Write how the network learned up to each request, the forget sets, and the checkpoints. Collective."""
        content = [
            {
                **learning.to_record(),
                "forget": {str(node): positions.tolist() for node, positions in arrival.forget.items()},
            }
            for learning, arrival in zip(requests, arrivals, strict=True)
        ]
        self._json("learning", {"requests": content})
        self._checkpoints("learned", learned, rounds)

    def retrained(self, oracle: Trajectory, rounds: Collection[int], mark: str) -> None:
        """Write the checkpoints of retraining for a request after these numbers of rounds. Collective."""
        self._checkpoints(f"retrained{mark}", oracle, rounds)

    def recorded(self, index: int, method: str) -> tuple[Certificate, Audit, dict[str, Any]] | None:
        """Return what an earlier process has recorded of a method, if it has, and carry its lines over."""
        place = f"{index}-{method}"
        if self._folder is None or f"methods/{place}/released" not in self._record["weights_sha256"]:
            return None
        for (phase, _), text in self._lines.items():
            if phase == place:
                self._metrics.write(text + "\n")
        certificate, audit, metrics = (
            json.loads((self._folder / "methods" / place / f"{name}.json").read_text("utf-8"))
            for name in ("certificate", "audit", "metrics")
        )
        return Certificate.from_record(certificate), Audit.from_record(audit), metrics

    def noise_traces(self, index: int) -> NoiseTraces:
        """Return what an earlier process has written down of the noise of a release.

        Raises:
            FolderError: if that is missing or damaged.
        """
        assert self._folder is not None
        return earlier_noise(self._folder, index)

    def method(
        self,
        index: int,
        certificate: Certificate,
        audit: Audit,
        metrics: Mapping[str, Any],
        outcome: Outcome,
        traces: NoiseTraces,
    ) -> None:
        """Write the records and the weights of one release, and what a process that goes on needs of its noise."""
        if self._folder is not None and not self.secret:
            note_noise(self._folder, index, traces)
        place = f"methods/{index}-{certificate.method}"
        self._json(f"{place}/certificate", certificate.to_record())
        self._json(f"{place}/audit", audit.to_record())
        self._json(f"{place}/metrics", metrics)
        self._weights(f"{place}/centre", outcome.centre, secret=True)
        if not certificate.release.mechanism.releases_noised_models(certificate.release):
            self._weights(f"{place}/noised", outcome.noised, secret=True)
        self._weights(f"{place}/released", outcome.released, secret=certificate.release.noise_source != "os")
        self._write_record()

    def finish(self, rows: list[dict[str, Any]], together: list[dict[str, Any]], message_bytes: int) -> None:
        """Write the table, and mark the run as complete."""
        if self._folder is None:
            return
        self._json("summary", {"rows": rows, "together": together})
        write(
            self._folder / "traffic.json", json.dumps({"message_bytes": message_bytes, "parts": self._traffic}) + "\n"
        )
        self._record["sha256"] = digest(self._record["weights_sha256"])
        self._record["state"] = "complete"
        self._record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_record()
        self._metrics.close()
        shutil.rmtree(self._folder / UNFINISHED, ignore_errors=True)
        self._lock.release(remove=True)

    def _checkpoints(self, name: str, trajectory: Trajectory, rounds: Collection[int]) -> None:
        for t in sorted(rounds):
            self._weights(f"checkpoints/{name}-{t:06d}", trajectory.at(t), secret=True)
        self._write_record()

    def _weights(self, place: str, theta: Tensor, *, secret: bool) -> None:
        """Keep θ, or at least its hash; nothing of a model without noise where the noise is a secret."""
        if self._folder is None or (secret and self.secret):
            return
        plain = theta.cpu().contiguous()
        self._record["weights_sha256"][place] = hashlib.sha256(plain.numpy().tobytes()).hexdigest()
        if self._keep:
            write(self._folder / f"{place}.safetensors", save({"theta": plain}))

    def _write_record(self) -> None:
        if self._folder is not None:
            write_json(self._folder / "record.json", self._record)

    def _json(self, name: str, content: Mapping[str, Any]) -> None:
        if self._folder is not None:
            write_json(self._folder / f"{name}.json", content)


def _empty(folder: Path) -> None:
    """Remove everything from a run folder but its lock file."""
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _begun_record(scenario: Scenario, command: Sequence[str], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Begin `record.json`.

    Args:
        scenario: that is run.
        command: that the user gave.
        before: the record of the process that has begun the run; None if this one does.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    begun = before or {}
    return {
        "format": FORMATS[-1],
        "state": "incomplete",
        "name": scenario.name,
        "seed": scenario.seed,
        "started": begun.get("started", now),
        "resumed": [] if before is None else [*begun.get("resumed", []), now],
        "versions": versions(),
        "platform": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "threads": threads(),
        },
        "command": list(command),
        "seconds": begun.get("seconds", {}),
        "weights_sha256": begun.get("weights_sha256", {}),
    }


def _schedule_record(network: NetworkSetup) -> dict[str, Any]:
    """Describe, for topology.json, which node sends to which in each round."""
    scenario, departed = network.scenario, network.training_run.departed
    content: dict[str, Any] = {
        "seed": scenario.seed,
        "schedule": {**scenario.topology.schedule.plain(), **network.mixing.recorded},
        "learning": {"kind": scenario.learning.kind, **scenario.learning.settings},
        "departed": list(departed),
    }
    if departed:
        entries = network.remaining.weights.tocoo()
        triples = zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True)
        content["remaining"] = [list(triple) for triple in triples]
    return content
