"""The run folder, read: what report, verify and sweep know of a run. Needs no torch."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy.sparse import csr_array

from rewindnet import topologies
from rewindnet.certificates import Audit, Certificate, CertificateError, Mixing, TrainingRun
from rewindnet.clients.training.sampling import SAMPLINGS, Forget, Realised, SamplingError
from rewindnet.errors import UserError

#: The layouts of a run folder that this version reads; the recorder writes the last of them.
FORMATS = (4,)

Json = dict[str, Any]


class FolderError(UserError):
    """A folder that holds no run, no whole run, or a damaged one."""


@dataclass(frozen=True)
class MethodRecords:
    """What one unlearning method left.

    Attributes:
        place: its folder inside the run folder, like `methods/0-r2d`.
        certificate: `certificate.json`.
        audit: `audit.json`.
        metrics: `metrics.json`.
    """

    place: str
    certificate: Json
    audit: Json
    metrics: Json


@dataclass(frozen=True)
class RunFolder:
    """A whole run.

    Attributes:
        path: the folder.
        record: `record.json`.
        scenario: `scenario.yaml`, resolved.
        topology: `topology.json`.
        learning: `learning.json`.
        summary: the rows of the table.
        together: what may be claimed to a reader of all releases of a method, where there are several requests.
        methods: one for each row.
    """

    path: Path
    record: Json
    scenario: Json
    topology: Json
    learning: Json
    summary: list[Json]
    together: list[Json]
    methods: list[MethodRecords]

    def metrics_lines(self) -> Iterator[Json]:
        """`metrics.jsonl`, one line a round, in the order in which the rounds ran.

        Raises:
            FolderError: if the file is missing or damaged.
        """
        for number, line in enumerate(_text(self.path / "metrics.jsonl").splitlines(), start=1):
            yield _object(line, f"line {number} of {self.path / 'metrics.jsonl'}")

    def weights(self, place: str) -> np.ndarray[Any, Any] | None:
        """θ [N, d], by its place in `record["weights_sha256"]`, like `methods/0-r2d/released`; None if not kept.

        Raises:
            FolderError: if the file is damaged.
        """
        file = self.path / f"{place}.safetensors"
        if not file.is_file():
            return None
        try:
            return load_file(file)["theta"]
        except (OSError, SafetensorError, KeyError):
            raise FolderError(f"{file} is damaged: it holds no weights") from None

    @property
    def network(self) -> tuple[nx.Graph, TrainingRun]:
        """The graph, and how learning ran on it up to the last request, as certificates need it.

        Raises:
            FolderError: if one of the two records is damaged.
        """
        graph, learnings = self.history
        return graph, learnings[-1]

    def learning_of(self, index: int) -> TrainingRun:
        """How learning ran up to the request that a release answers: every method answers each of them."""
        return self.history[1][index // len(self.scenario["unlearning"])]

    @cached_property
    def history(self) -> tuple[nx.Graph, list[TrainingRun]]:
        """The graph, and how learning ran on it up to each request.

        Raises:
            FolderError: if one of the two records is damaged.
        """
        try:
            graph, weights = topologies.from_record(self.topology)
            mixing, mixing_before = recorded_schedules(self.topology, graph, weights)
        except topologies.TopologyError as problem:
            raise FolderError(f"{self.path / 'topology.json'} is damaged: {problem}") from None
        try:
            return graph, recorded_learnings(self.scenario, self.learning, mixing, mixing_before)
        except (CertificateError, SamplingError, LookupError, TypeError, AttributeError) as problem:
            raise FolderError(f"{self.path / 'learning.json'} is damaged: {problem}") from None

    @cached_property
    def certified(self) -> list[tuple[Certificate, Audit]]:
        """The certificate and the audit of every method.

        Raises:
            FolderError: if one of them is damaged.
        """
        return [_certified(self.path / method.place, method) for method in self.methods]


def state(path: Path) -> str | None:
    """Whether the run in a folder is `complete` or `incomplete`; None where there is no run.

    Raises:
        FolderError: if there is a record of a run, but a damaged one or one of another format.
    """
    if not (path / "record.json").is_file():
        return None
    return "complete" if read_record(path)["state"] == "complete" else "incomplete"


def read_folder(path: Path) -> RunFolder:
    """Read a run folder.

    Raises:
        FolderError: if there is no such folder, it is no run folder, its run is not complete, or a file is damaged.
    """
    if not path.is_dir():
        raise FolderError(f"{path} is not a folder" if path.exists() else f"there is no folder {path}")
    found = state(path)
    if found is None:
        raise FolderError(f"{path} is not a run folder: it holds no record.json")
    if found != "complete":
        raise FolderError(f"the run in {path} is incomplete; run its scenario again, and it goes on where it stopped")
    rows = _rows(path / "summary.json")
    return RunFolder(
        path=path,
        record=read_record(path),
        scenario=read_scenario(path),
        topology=_json(path / "topology.json"),
        learning=_json(path / "learning.json"),
        summary=rows,
        together=_json(path / "summary.json").get("together") or [],
        methods=[_method(path, f"methods/{row['index']}-{row['method']}") for row in rows],
    )


def recorded_schedules(
    topology: Json, graph: nx.Graph, weights: csr_array
) -> tuple[topologies.Schedule, topologies.Schedule | None]:
    """The schedules that a `topology.json` speaks of: of what remains, and of before clients left, if any did.

    Raises:
        TopologyError: if there is no such schedule.
    """
    seed, departed = topology.get("seed"), topology.get("departed")
    if not isinstance(seed, int) or seed < 0 or not isinstance(departed, list):
        raise topologies.TopologyError("it does not say from which seed rounds are drawn, or who has left")
    whole = _schedule(topology, graph, weights, seed, ())
    if not departed:
        return whole, None
    row, column, value = (np.array(part) for part in zip(*topology.get("remaining", []), strict=True))
    entries = csr_array((value.astype(float), (row.astype(int), column.astype(int))), shape=weights.shape)
    return _schedule(topology, graph, entries, seed, tuple(departed)), whole


def _schedule(
    topology: Json, graph: nx.Graph, weights: csr_array, seed: int, departed: tuple[int, ...]
) -> topologies.Schedule:
    told, learns = topology.get("schedule"), topology.get("learning")
    if not isinstance(told, dict) or not isinstance(learns, dict) or learns.get("kind") not in topologies.LEARNING:
        raise topologies.TopologyError("it does not say by which schedule, or how the network learns on it")
    settings = {key: value for key, value in told.items() if key != "kind"}
    schedule = topologies.schedule(str(told.get("kind")), graph, weights, seed, departed, **settings)
    how = {key: value for key, value in learns.items() if key != "kind"}
    return topologies.LEARNING[str(learns["kind"])](schedule, seed, departed, **how)


def recorded_learnings(scenario: Json, told: Json, mixing: Mixing, mixing_before: Mixing | None) -> list[TrainingRun]:
    """How the network learned up to each request, from `learning.json`, with minibatches drawn again.

    Raises:
        CertificateError: if a record is damaged.
        SamplingError: if batches cannot be drawn.
    """
    found: list[TrainingRun] = []
    earlier: list[tuple[int, Forget]] = []
    for record in told["requests"]:
        forget = {int(node): np.array(gone, dtype=np.int64) for node, gone in record["forget"].items()}
        batches = _batches(scenario, record, forget, tuple(earlier))
        found.append(TrainingRun.from_record(record, mixing, mixing_before, batches))
        earlier.append((found[-1].rounds, forget))
    return found


def _batches(scenario: Json, record: Json, forget: Forget, earlier: Sequence[tuple[int, Forget]]) -> Realised | None:
    """The minibatches of a run; None where every step read every sample."""
    told = dict(scenario["learning"]["sampling"])
    kind = told.pop("kind")
    if kind not in SAMPLINGS:
        raise SamplingError(f"there is no sampling {kind!r}")
    sampling = SAMPLINGS[kind](int(scenario["seed"]), int(record["local_steps"]), **told)
    if sampling is None:
        return None
    return Realised(sampling, np.array(record["samples"], dtype=np.int64), forget, earlier)


def digest(hashes: Mapping[str, str]) -> str:
    """One sha256 for all weights of a run, from those of its arrays by name."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def read_record(path: Path) -> Json:
    """`record.json`.

    Raises:
        FolderError: if it is missing, damaged or of another format.
    """
    record = _json(path / "record.json")
    if record.get("format") not in FORMATS:
        known = ", ".join(map(str, FORMATS))
        raise FolderError(f"{path} is a run folder of format {record.get('format')!r}; this version reads: {known}")
    if "state" not in record:
        raise FolderError(f"{path / 'record.json'} is damaged: it does not say whether the run is complete")
    return record


def read_scenario(path: Path) -> Json:
    """`scenario.yaml`, resolved.

    Raises:
        FolderError: if it is missing or damaged.
    """
    return _yaml(path / "scenario.yaml")


def _rows(file: Path) -> list[Json]:
    rows: list[Json] = _json(file).get("rows") or []
    whole = isinstance(rows, list) and all(isinstance(row, dict) and {"index", "method"} <= set(row) for row in rows)
    if not whole or not rows:
        raise FolderError(f"{file} is damaged: it holds no rows of a table")
    return rows


def _method(path: Path, place: str) -> MethodRecords:
    certificate, audit, metrics = (_json(path / place / f"{name}.json") for name in ("certificate", "audit", "metrics"))
    return MethodRecords(place, certificate, audit, metrics)


def _certified(folder: Path, method: MethodRecords) -> tuple[Certificate, Audit]:
    try:
        certificate, found = Certificate.from_record(method.certificate), Audit.from_record(method.audit)
    except (CertificateError, TypeError) as problem:
        raise FolderError(f"{folder} is damaged: {problem}") from None
    nodes = len(certificate.release.sigma)
    if len(certificate.sensitivity) not in (0, nodes) or len(found.divergence) != nodes:
        raise FolderError(f"{folder} is damaged: its certificate and its audit are of networks of different size")
    return certificate, found


def _json(file: Path) -> Json:
    return _object(_text(file), str(file))


def _object(text: str, what: str) -> Json:
    try:
        content = json.loads(text)
    except ValueError as problem:
        raise FolderError(f"{what} is damaged: it is not JSON ({problem})") from None
    if not isinstance(content, dict):
        raise FolderError(f"{what} is damaged: it is not a JSON object")
    return content


def _yaml(file: Path) -> Json:
    try:
        content = yaml.safe_load(_text(file))
    except yaml.YAMLError:
        raise FolderError(f"{file} is damaged: it is not YAML") from None
    if not isinstance(content, dict):
        raise FolderError(f"{file} is damaged: it holds no scenario")
    return content


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FolderError(f"{file.name} is missing from {file.parent}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise FolderError(f"{file} cannot be read: {problem}") from None
