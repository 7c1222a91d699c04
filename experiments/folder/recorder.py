"""The run folder: one writer, every file whole or not there."""

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
from rewindnet.clients.data.deletion import Arrival
from rewindnet.clients.training.parallel import threads
from rewindnet.experiments.folder.files import write, write_json
from rewindnet.experiments.folder.reader import FORMATS, digest, read_record
from rewindnet.experiments.folder.unfinished import (
    UNFINISHED,
    FolderJournal,
    earlier_lines,
    earlier_traffic,
    is_secret,
    lock,
    note_traffic,
    versions,
)
from rewindnet.experiments.scenario.assemble import Experiment
from rewindnet.simulator.engine import Journal, NoJournal
from rewindnet.simulator.outcome import Outcome, Trajectory


class Recorder:
    """Writes everything a run leaves.

    Args:
        folder: the run folder; must have passed `check_target`. None where another process writes it.
        experiment: what is run.
        resume: go on with the incomplete run in the folder; otherwise what is there is removed.
        command: that the user gave.

    Attributes:
        secret: whether un-noised states may not be written.
        journal: where states of unfinished tasks are written down; None where they may not be.

    Raises:
        ScenarioError: if another process is writing to the folder.
    """

    def __init__(
        self, folder: Path | None, experiment: Experiment, resume: bool = False, command: Sequence[str] = ()
    ) -> None:
        scenario = experiment.scenario
        self._folder, self._keep = folder, scenario.record.weights
        self.secret = is_secret(scenario)
        self.journal: Journal | None = None if self.secret else NoJournal()
        if folder is None:
            return
        if not resume and folder.exists():
            shutil.rmtree(folder)
        self._lock = lock(folder)
        if not self.secret:
            shape = (experiment.mixing.nodes, experiment.model.parameters)
            learning = scenario.learning
            self.journal = FolderJournal(
                folder, shape, (learning.rounds, len(experiment.requests), learning.local_steps + 1)
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        begun = read_record(folder) if resume else {}
        self._record: dict[str, Any] = {
            "format": FORMATS[-1],
            "state": "incomplete",
            "name": scenario.name,
            "seed": scenario.seed,
            "started": begun.get("started", now),
            "resumed": [*begun.get("resumed", []), now] if resume else [],
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
        self._write_record()
        write(folder / "scenario.yaml", scenario.to_yaml())
        topology = topologies.record(experiment.graph, experiment.mixing.weights)
        write_json(folder / "topology.json", {**topology, **self._rounds(experiment)})
        self._traffic = earlier_traffic(folder)
        self._lines = earlier_lines(folder)
        if self._lines:
            write(folder / UNFINISHED / "metrics.jsonl", "".join(f"{text}\n" for text in self._lines.values()))
        self._metrics = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def _rounds(self, experiment: Experiment) -> dict[str, Any]:
        """What topology.json says of who hears whom in which round."""
        scenario, foreseen = experiment.scenario, experiment.foreseen
        told: dict[str, Any] = {
            "seed": scenario.seed,
            "schedule": {**scenario.topology.schedule.plain(), **experiment.mixing.recorded},
            "learning": {"kind": scenario.learning.kind, **scenario.learning.settings},
            "departed": list(foreseen.departed),
        }
        if foreseen.departed:
            entries = experiment.remaining.weights.tocoo()
            triples = zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True)
            told["remaining"] = [list(triple) for triple in triples]
        return told

    def close(self) -> None:
        """Let go of the folder, whether the run is complete or not."""
        if self._folder is not None:
            self._metrics.close()
            self._lock.close()

    def seconds(self, what: str, seconds: float) -> None:
        """How long a part of the run took."""
        if self._folder is not None:
            self._record["seconds"][what] = round(seconds, 3)

    def round(self, line: Mapping[str, Any], repeated: bool = False) -> None:
        """One line of metrics.jsonl; of a repeated round, the line that it had before."""
        if self._folder is None:
            return
        # A round that is repeated without having had a line was run in an earlier part of the run, for another method.
        text = self._lines.get((line["phase"], line["round"])) if repeated else json.dumps(line)
        if text is not None:
            self._metrics.write(text + "\n")
            self._metrics.flush()

    def carried(self, traffic: Mapping[str, csr_array]) -> None:
        """The messages that the parts of the run so far have sent over every directed edge."""
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
        """How the network learned up to each request, the forget sets, and the checkpoints. Collective."""
        told = [
            {**learning.to_record(), "forget": {str(node): gone.tolist() for node, gone in arrival.forget.items()}}
            for learning, arrival in zip(requests, arrivals, strict=True)
        ]
        self._json("learning", {"requests": told})
        self._checkpoints("learned", learned, rounds)

    def retrained(self, oracle: Trajectory, rounds: Collection[int], mark: str) -> None:
        """The checkpoints of retraining for a request after these numbers of rounds. Collective."""
        self._checkpoints(f"retrained{mark}", oracle, rounds)

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
        if not certificate.release.mechanism.releases_noised_models(certificate.release):
            self._weights(f"{place}/noised", outcome.noised, secret=True)
        self._weights(f"{place}/released", outcome.released, secret=certificate.release.noise_source != "os")
        self._write_record()

    def finish(self, rows: list[dict[str, Any]], together: list[dict[str, Any]], message_bytes: int) -> None:
        """The table, and with it the run is complete."""
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
        self.close()
        shutil.rmtree(self._folder / UNFINISHED, ignore_errors=True)

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
            write(self._folder / f"{place}.safetensors", save({"theta": plain}))

    def _write_record(self) -> None:
        if self._folder is not None:
            write_json(self._folder / "record.json", self._record)

    def _json(self, name: str, content: Mapping[str, Any]) -> None:
        if self._folder is not None:
            write_json(self._folder / f"{name}.json", content)
