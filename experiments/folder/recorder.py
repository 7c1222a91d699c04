"""Write a run folder: by one process, and every file atomically."""

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, TrainingRun
from rewindnet.certificates.audits.noise.traces import NoiseTraces
from rewindnet.clients.data.deletion import Arrival
from rewindnet.experiments.folder.contents import file_hashes
from rewindnet.experiments.folder.description import first_record
from rewindnet.experiments.folder.files import write, write_json
from rewindnet.experiments.folder.format import digest, read_record
from rewindnet.experiments.folder.journal import UNFINISHED, FolderJournal
from rewindnet.experiments.folder.lock import LOCK, FolderLock
from rewindnet.experiments.folder.readme import readme
from rewindnet.experiments.folder.unfinished import (
    check_checkpoints,
    earlier_lines,
    earlier_noise,
    earlier_traffic,
    has_noise,
    note_noise,
    note_traffic,
)
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.simulator.journal import Journal, NoJournal
from rewindnet.simulator.outcome import Outcome, Trajectory


class Recorder:
    """Writes the files of a run folder.

    Args:
        folder: the run folder; it must have passed `check_target`. None in a process that does not write it.
        network: the network of the run.
        resume: continue the incomplete run in the folder; otherwise the content of the folder is removed.
        command: the command to record.

    Attributes:
        secret: whether models without noise must not be written, because the noise is secret.
        journal: stores the states of unfinished tasks; None if they must not be written.

    Raises:
        ScenarioError: if another process is writing to the folder.
    """

    def __init__(
        self, folder: Path | None, network: NetworkSetup, resume: bool = False, command: Sequence[str] = ()
    ) -> None:
        scenario = network.scenario
        self._folder, self._stores_weights = folder, scenario.record.weights
        self.secret = scenario.noise_is_secret
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
        self._record = first_record(scenario, network.inputs, command, read_record(folder) if resume else None)
        self._write_record()
        write(folder / "scenario.yaml", scenario.to_yaml())
        write(folder / "README.md", readme(scenario))
        write_json(folder / "topology.json", network.topology.to_record())
        self._traffic = earlier_traffic(folder)
        self._lines = earlier_lines(folder)
        if self._lines:
            write(folder / UNFINISHED / "metrics.jsonl", "".join(f"{text}\n" for text in self._lines.values()))
        self._metrics = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def close(self) -> None:
        """Close the files and release the lock, whether the run is complete or not."""
        if self._folder is not None:
            self._metrics.close()
            self._lock.release()

    def note_seconds(self, phase: str, seconds: float) -> None:
        """Note how long a phase of the run took; the next record.json contains it."""
        if self._folder is not None:
            self._record["seconds"][phase] = round(seconds, 3)

    def write_round(self, line: Mapping[str, Any], repeated: bool = False) -> None:
        """Write one line of metrics.jsonl.

        Args:
            line: the metrics of the round.
            repeated: whether an earlier process has already run the round; its line is written again then.
        """
        if self._folder is None:
            return
        # A repeated round without an earlier line was run for another method, so it gets no line.
        text = self._lines.get((line["phase"], line["round"])) if repeated else json.dumps(line)
        if text is not None:
            self._metrics.write(text + "\n")
            self._metrics.flush()

    def write_traffic(self, traffic: Mapping[str, csr_array]) -> None:
        """Write the numbers of messages over every directed edge, for each phase so far.

        Args:
            traffic: for each phase, [N, N]; row i and column j count the messages from j to i.
        """
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

    def write_learning(
        self,
        training_runs: Sequence[TrainingRun],
        arrivals: Sequence[Arrival],
        learned: Trajectory,
        rounds: Collection[int],
    ) -> None:
        """Write how the network learned up to each request, the forget sets, and checkpoints.

        All processes must call this method together.

        Args:
            training_runs: for each request, how the network learned up to it.
            arrivals: for each request, its round and its forget set.
            learned: the checkpoints of learning.
            rounds: the rounds of the checkpoints to write.
        """
        if self._folder is not None:
            check_checkpoints(self._folder, training_runs[0].checkpoints_sha256)
        content = [
            {
                **training.to_record(),
                "forget": {str(node): positions.tolist() for node, positions in arrival.forget.items()},
                "forget_salt": arrival.salt.hex(),
            }
            for training, arrival in zip(training_runs, arrivals, strict=True)
        ]
        self._json("learning", {"requests": content})
        self.write_checkpoints("learned", learned, rounds)

    def write_retraining(self, oracle: Trajectory, rounds: Collection[int], suffix: str) -> None:
        """Write checkpoints of retraining for a request; all processes must call this method together.

        Args:
            oracle: the checkpoints of retraining.
            rounds: the rounds of the checkpoints to write.
            suffix: the suffix of array names that belong to the request.
        """
        self.write_checkpoints(f"retrained{suffix}", oracle, rounds)

    def read_release(self, index: int, method: str) -> tuple[Certificate, Audit, dict[str, Any]] | None:
        """Read a release that an earlier process has recorded, and write its lines of metrics.jsonl again.

        Args:
            index: the number of the release.
            method: the name of its method.

        Returns:
            The certificate, the audit and the metrics; None if the release is not recorded, or what was recorded of its
            noise is gone.
        """
        place = f"{index}-{method}"
        if self._folder is None or f"methods/{place}/released" not in self._record["weights_sha256"]:
            return None
        if not has_noise(self._folder, index):
            return None
        for (phase, _), text in self._lines.items():
            if phase == place:
                self._metrics.write(text + "\n")
        certificate, audit, metrics = (
            json.loads((self._folder / "methods" / place / f"{name}.json").read_text("utf-8"))
            for name in ("certificate", "audit", "metrics")
        )
        return Certificate.from_record(certificate), Audit.from_record(audit), metrics

    def read_noise_traces(self, index: int) -> NoiseTraces:
        """Read what an earlier process has recorded of the noise of a release.

        Raises:
            FolderError: if that is missing or damaged.
        """
        assert self._folder is not None
        return earlier_noise(self._folder, index)

    def write_release(
        self,
        index: int,
        certificate: Certificate,
        audit: Audit,
        metrics: Mapping[str, Any],
        outcome: Outcome,
        traces: NoiseTraces,
    ) -> None:
        """Write the records and the weights of one release, and what a process that resumes needs of its noise."""
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

    def finish(self, rows: list[dict[str, Any]], compositions: list[dict[str, Any]], message_bytes: int) -> None:
        """Write the table, the traffic and the hashes of all files, and mark the run as complete.

        Args:
            rows: the rows of the table.
            compositions: the composition of the releases of each method.
            message_bytes: the size of a message in bytes.
        """
        if self._folder is None:
            return
        self._json("summary", {"rows": rows, "together": compositions})
        write(
            self._folder / "traffic.json", json.dumps({"message_bytes": message_bytes, "parts": self._traffic}) + "\n"
        )
        self._metrics.close()
        arrays = self._record["weights_sha256"]
        self._record["sha256"] = digest(arrays)
        self._record["files_sha256"] = file_hashes(self._folder, arrays)
        self._record["state"] = "complete"
        self._record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._write_record()
        shutil.rmtree(self._folder / UNFINISHED, ignore_errors=True)
        self._lock.release(remove=True)

    def write_checkpoints(self, name: str, trajectory: Trajectory, rounds: Collection[int]) -> None:
        """Write checkpoints; all processes must call this method together.

        Args:
            name: the beginning of the names of the arrays.
            trajectory: the checkpoints.
            rounds: the rounds of the checkpoints to write.
        """
        for t in sorted(rounds):
            self._weights(f"checkpoints/{name}-{t:06d}", trajectory.at(t), secret=True)
        self._write_record()

    def _weights(self, place: str, theta: Tensor, *, secret: bool) -> None:
        """Write models [N, d] and note their hash, or only note the hash if the scenario stores no weights.

        Args:
            place: the name of the array.
            theta: [N, d], the models.
            secret: whether the models must not be written if the noise of the run is secret.
        """
        if self._folder is None or (secret and self.secret):
            return
        plain = theta.cpu().contiguous()
        self._record["weights_sha256"][place] = hashlib.sha256(plain.numpy().tobytes()).hexdigest()
        if self._stores_weights:
            write(self._folder / f"{place}.safetensors", save({"theta": plain}))

    def _write_record(self) -> None:
        if self._folder is not None:
            write_json(self._folder / "record.json", self._record)

    def _json(self, name: str, content: Mapping[str, Any]) -> None:
        if self._folder is not None:
            write_json(self._folder / f"{name}.json", content)


def _empty(folder: Path) -> None:
    """Remove everything from a run folder except its lock file."""
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
