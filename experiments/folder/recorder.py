"""Write a run folder: by one process, and every file atomically."""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, TrainingRun
from rewindnet.certificates.audits.noise.traces import NoiseTraces
from rewindnet.certificates.training_record import training_record
from rewindnet.clients.data.deletion import Arrival
from rewindnet.errors import notice
from rewindnet.experiments.folder.description import first_record, last_record
from rewindnet.experiments.folder.files import open_new, read_json, write, write_json
from rewindnet.experiments.folder.finished import lost_releases, lost_sentence, release_marks
from rewindnet.experiments.folder.format import UNFINISHED, is_complete, read_record, sealed
from rewindnet.experiments.folder.lock import FolderLock
from rewindnet.experiments.folder.readme import certified_in, readme
from rewindnet.experiments.folder.replacement import move_in
from rewindnet.experiments.folder.shared import SharedLearning, journal_of, lines_of
from rewindnet.experiments.folder.tensors import file_parts, raw_bytes
from rewindnet.experiments.folder.unfinished import (
    claim,
    earlier_noise,
    earlier_traffic,
    note_noise,
    note_traffic,
)
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.simulator.journal import Journal, NoJournal
from rewindnet.simulator.outcome import Outcome, Trajectory


class Recorder:
    """Writes the files of a run folder.

    Args:
        folder: the run folder; None in a process that does not write it.
        network: the network of the run.
        force: take the place of an earlier run, once this one is finished, or go on with an incomplete one.
        command: the command to record.
        shared: where the states of learning are shared with other runs.

    Attributes:
        secret: whether models without noise must not be written, because the noise is secret.
        journal: stores the states of unfinished tasks; None if they must not be written.

    Raises:
        ScenarioError: if another process is writing to the folder, or it holds something else.
    """

    def __init__(
        self,
        folder: Path | None,
        network: NetworkSetup,
        force: bool = False,
        command: Sequence[str] = (),
        shared: SharedLearning | None = None,
    ) -> None:
        scenario = network.scenario
        self._folder, self._scenario, self._shared = folder, scenario, shared
        self.secret = scenario.noise_is_secret
        self.journal: Journal | None = None if self.secret else NoJournal()
        if folder is None:
            return
        self._target, self._lock = folder, FolderLock(folder)
        try:
            self._begin(network, force, command)
        except BaseException:
            self._lock.release(remove=is_complete(folder))
            raise

    def _begin(self, network: NetworkSetup, force: bool, command: Sequence[str]) -> None:
        """Write what is known at the beginning, and read what an earlier process has left."""
        scenario, lost = network.scenario, lost_releases(self._target)
        self._folder, resume = claim(self._target, scenario, force)
        folder = self._folder
        self._record = first_record(scenario, network.inputs, command, read_record(folder) if resume else None)
        if lost and not resume:
            self._record["lost_releases"] = lost
            self._say(lost_sentence(lost))
        self._write_record()
        write(folder / "scenario.yaml", scenario.to_yaml())
        write(folder / "README.md", readme(scenario))
        write_json(folder / "topology.json", network.topology.to_record())
        traffic = earlier_traffic(folder)
        self._traffic = traffic or {}
        if traffic is None and self._record["releases"]:
            self._record["releases"] = {}
            self._say(f"{folder / UNFINISHED / 'traffic.json'} is damaged; every release is made again")
        self._lines = lines_of(folder, self._shared)
        if str(self._lines):
            write(folder / UNFINISHED / "metrics.jsonl", str(self._lines))
        self._metrics = open_new(folder / "metrics.jsonl")
        if not self.secret:
            self.journal = journal_of(folder, scenario, self._lines, self._shared, self._say)

    def _say(self, sentence: str) -> None:
        """Say something about the run aloud, and note it in the record: other processes may not be heard."""
        notice(sentence)
        self._record.setdefault("notes", []).append(sentence)

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
        text = self._lines.get(line["phase"], line["round"]) if repeated else json.dumps(line)
        if text is not None:
            self._lines.note(line["phase"], line["round"], text)
            self._metrics.write(f"{text}\n".encode())
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
        content = [
            {
                **training_record(training),
                "forget": {str(node): positions.tolist() for node, positions in arrival.forget.items()},
                "forget_salt": arrival.salt.hex(),
            }
            for training, arrival in zip(training_runs, arrivals, strict=True)
        ]
        read = {"recovered": learned.recovered, "halved": learned.halved}
        self._json("learning", {"requests": content} | {name: entries for name, entries in read.items() if entries})
        self.write_checkpoints("learned", learned, rounds)

    def read_release(self, index: int, method: str) -> tuple[Certificate, Audit, dict[str, Any]] | None:
        """Read a release that an earlier process has recorded, and write its lines of metrics.jsonl again.

        Args:
            index: the number of the release.
            method: the name of its method.

        Returns:
            The certificate, the audit and the metrics; None if the release is not recorded, or something that was
            recorded of it has changed, which is said aloud.
        """
        place = f"methods/{index}-{method}"
        if self._folder is None or place not in self._record["releases"]:
            return None
        if self._record["releases"].pop(place) != self._marks(index, place):
            self._say(f"{self._folder / place} is damaged; the release is made again")
            return None
        self._record["releases"][place] = self._marks(index, place)
        self._metrics.write(self._lines.of_phase(f"{index}-{method}").encode())
        parts = (self._folder / place / f"{part}.json" for part in ("certificate", "audit", "metrics"))
        certificate, audit, metrics = map(read_json, parts)
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
        if outcome.retrained_alike is not None:
            self._weights(f"{place}/retrained", outcome.retrained_alike, secret=True)
        if self._folder is not None:
            self._record["releases"][place] = self._marks(index, place)
        self._write_record()

    def _marks(self, index: int, place: str) -> dict[str, Any]:
        """Return the hashes by which a release is known to be whole."""
        assert self._folder is not None
        lines = self._lines.of_phase(place.removeprefix("methods/"))
        return release_marks(self._folder, index, place, lines, self._record["weights_sha256"])

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
        places = [f"methods/{row['index']}-{row['method']}" for row in rows] if self.secret else []
        releases = {place: certified_in(self._folder, place) for place in places}
        write(self._folder / "README.md", readme(self._scenario, releases))
        traffic = {"message_bytes": message_bytes, "parts": self._traffic}
        write(self._folder / "traffic.json", json.dumps(traffic) + "\n")
        os.fsync(self._metrics.fileno())
        self._metrics.close()
        self._record = last_record(self._record, self._folder, self._target)
        self._write_record()
        shutil.rmtree(self._folder / UNFINISHED, ignore_errors=True)
        if self._folder != self._target:
            move_in(self._target)
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
        self._record["weights_sha256"][place] = hashlib.sha256(raw_bytes(plain)).hexdigest()
        if self._scenario.record.weights:
            write(self._folder / f"{place}.safetensors", file_parts({"theta": plain}))

    def _write_record(self) -> None:
        if self._folder is not None:
            write_json(self._folder / "record.json", sealed(self._record))

    def _json(self, name: str, content: Mapping[str, Any]) -> None:
        if self._folder is not None:
            write_json(self._folder / f"{name}.json", content)
