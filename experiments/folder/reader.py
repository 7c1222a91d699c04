"""Read a finished run from its folder, for reports, verification and sweeps."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from rewindnet import topologies
from rewindnet.certificates import Audit, Certificate, CertificateError, TrainingRun, violation
from rewindnet.clients.methods import METHODS
from rewindnet.clients.training.sampling import SamplingError
from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import Json, parse_object, read_json, read_scenario, read_text
from rewindnet.experiments.folder.format import read_record, state
from rewindnet.experiments.folder.history import (
    goes_on_from_releases,
    recorded_schedules,
    recorded_training_runs,
    released_training_runs,
)
from rewindnet.experiments.folder.marks import add_marks

__all__ = [
    "FolderError",
    "Json",
    "MethodRecords",
    "RunFolder",
    "goes_on_from_releases",
    "read_folder",
    "recorded_schedules",
    "recorded_training_runs",
    "released_training_runs",
]

#: The sections of a resolved scenario that say how the network learns.
_SECTIONS = ("data", "partition", "topology", "model", "learning", "deletion", "backend")


@dataclass(frozen=True)
class MethodRecords:
    """The records of one release.

    Attributes:
        place: the subfolder of the release, like `methods/0-r2d`.
        certificate: the content of `certificate.json`.
        audit: the content of `audit.json`.
        metrics: the content of `metrics.json`.
    """

    place: str
    certificate: Json
    audit: Json
    metrics: Json


@dataclass(frozen=True)
class RunFolder:
    """A finished run.

    Attributes:
        path: the folder.
        record: the content of `record.json`.
        scenario: the content of `scenario.yaml`, which is resolved.
        topology: the content of `topology.json`.
        learning: the content of `learning.json`.
        summary: the rows of the table, one for each release.
        compositions: for each method, the (ε, δ) of all its releases together; empty if there is only one request.
        methods: the records of each release.
    """

    path: Path
    record: Json
    scenario: Json
    topology: Json
    learning: Json
    summary: list[Json]
    compositions: list[Json]
    methods: list[MethodRecords]

    def metrics_lines(self) -> Iterator[Json]:
        """Read `metrics.jsonl`, which has one line for each round in the order of execution.

        Raises:
            FolderError: if the file is missing or damaged.
        """
        for number, line in enumerate(read_text(self.path / "metrics.jsonl").splitlines(), start=1):
            yield parse_object(line, f"line {number} of {self.path / 'metrics.jsonl'}")

    def weights(self, place: str) -> np.ndarray[Any, Any] | None:
        """Read stored models.

        Args:
            place: the name of the array, like `methods/0-r2d/released`; `record["weights_sha256"]` lists all names.

        Returns:
            [N, d]; None if the run did not store them.

        Raises:
            FolderError: if the file is damaged.
        """
        file = self.path / f"{place}.safetensors"
        if not file.is_file():
            return None
        try:
            theta: np.ndarray[Any, Any] = load_file(file)["theta"]
        except (OSError, SafetensorError, LookupError, TypeError, ValueError):
            raise FolderError(f"{file} is damaged: it holds no weights") from None
        if theta.ndim != 2 or theta.dtype.kind != "f":
            raise FolderError(f"{file} is damaged: it holds no weights")
        wanted = (self.topology.get("nodes", len(theta)), self.parameters or theta.shape[1])
        if theta.shape != wanted:
            raise FolderError(f"{file} is damaged: its models are {list(theta.shape)}, those of the run {list(wanted)}")
        return theta

    @cached_property
    def parameters(self) -> int | None:
        """The number of parameters of a model; None if `learning.json` does not say it."""
        with suppress(LookupError, TypeError, ValueError):
            return int(self.learning["requests"][0]["arithmetic"]["parameters"])
        return None

    @cached_property
    def traffic(self) -> Json:
        """The content of `traffic.json`: the size of a message, and the messages over every edge in each part.

        Raises:
            FolderError: if it is missing or damaged.
        """
        return read_json(self.path / "traffic.json")

    @property
    def network(self) -> tuple[nx.Graph, TrainingRun]:
        """The graph, and how the network learned up to the last request.

        Raises:
            FolderError: if `topology.json` or `learning.json` is damaged.
        """
        return self.history[0], self.history[1][-1]

    def training_run_of(self, index: int) -> TrainingRun:
        """Return how the network learned up to the request that a release answers.

        Args:
            index: the number of the release; every method answers each request.
        """
        if not goes_on_from_releases(self.scenario):
            return self.history[1][self.request_of(index)]
        certificates = [certificate for certificate, _ in self.certified]
        return released_training_runs(self.scenario, self.history[1], certificates)[index]

    def request_of(self, index: int) -> int:
        """Return the number of the request that a release answers; every method answers each request."""
        return int(index // len(self.scenario["unlearning"]))

    def suffix_of(self, index: int) -> str:
        """Return the end of the names of arrays that belong to the request of a release; empty with one request.

        Args:
            index: the number of the release. Where learning went on from releases, each method has arrays of its own.
        """
        if len(self.learning["requests"]) == 1:
            return ""
        return f"-{self.request_of(index)}" + self.branch_of(index)

    def branch_of(self, index: int) -> str:
        """Return the end of the names of arrays that belong to the method of a release alone; empty if none do.

        Args:
            index: the number of the release.
        """
        alone = self.request_of(index) > 0 and goes_on_from_releases(self.scenario)
        return f"-{index % len(self.scenario['unlearning'])}" if alone else ""

    def learned_array(self, index: int, rounds: int) -> str:
        """Return the name of the models from which a release may have begun.

        Args:
            index: the number of the release.
            rounds: the number of rounds of learning behind them.
        """
        own = self.branch_of(index) and rounds
        return f"checkpoints/learned{self.suffix_of(index) if own else ''}-{rounds:06d}"

    @cached_property
    def history(self) -> tuple[nx.Graph, list[TrainingRun]]:
        """The graph, and how the network learned up to each request.

        Raises:
            FolderError: if `topology.json` or `learning.json` is damaged.
        """
        try:
            graph, weights = topologies.from_record(self.topology)
            mixing, mixing_before = recorded_schedules(self.topology, graph, weights)
        except topologies.TopologyError as problem:
            raise FolderError(f"{self.path / 'topology.json'} is damaged: {problem}") from None
        try:
            return graph, recorded_training_runs(self.scenario, self.learning, mixing, mixing_before)
        except (CertificateError, SamplingError, LookupError, TypeError, AttributeError) as problem:
            raise FolderError(f"{self.path / 'learning.json'} is damaged: {problem}") from None

    @cached_property
    def certified(self) -> list[tuple[Certificate, Audit]]:
        """The certificate and the audit of every release.

        Raises:
            FolderError: if a certificate or an audit is damaged.
        """
        return [_certified(self.path / method.place, method) for method in self.methods]

    @property
    def names(self) -> list[str] | None:
        """The names of the nodes, in order; None if they have none."""
        return self.topology.get("names")

    @property
    def violations(self) -> list[str]:
        """A sentence for each certificate that its audit found violated."""
        return [violation(*found, self.names) for found in self.certified if not found[1].holds]


def read_folder(path: Path) -> RunFolder:
    """Read the folder of a finished run.

    Raises:
        FolderError: if the folder does not exist, holds no complete run, or a file in it is damaged.
    """
    if not path.is_dir():
        raise FolderError(f"{path} is not a folder" if path.exists() else f"there is no folder {path}")
    progress = state(path)
    if progress is None:
        raise FolderError(f"{path} is not a run folder: it holds no record.json")
    if progress != "complete":
        raise FolderError(f"the run in {path} is incomplete; run its scenario again to continue it")
    rows, scenario = _rows(path / "summary.json"), read_scenario(path)
    _check_sections(path / "scenario.yaml", scenario)
    _import_methods(scenario)
    methods = [_method(path, f"methods/{row['index']}-{row['method']}") for row in rows]
    compositions = read_json(path / "summary.json").get("together") or []
    add_marks(rows, compositions, [method.certificate for method in methods])
    return RunFolder(
        path=path,
        record=read_record(path),
        scenario=scenario,
        topology=read_json(path / "topology.json"),
        learning=read_json(path / "learning.json"),
        summary=rows,
        compositions=compositions,
        methods=methods,
    )


def _check_sections(file: Path, scenario: Json) -> None:
    """Check that a resolved scenario has its sections, whatever they say."""
    wrong = [name for name in _SECTIONS if not (isinstance(scenario.get(name), dict) and scenario[name])]
    methods = scenario.get("unlearning")
    if not (isinstance(methods, list) and methods and all(isinstance(method, dict) for method in methods)):
        wrong.append("unlearning")
    elif "dtype" not in (scenario.get("backend") or ()):
        wrong.append("backend")
    if wrong:
        raise FolderError(f"{file} is damaged: its section {wrong[0]} cannot be read")


def _import_methods(scenario: Json) -> None:
    """Import the methods of a scenario: the mechanism of a certificate may be defined in the module of its method."""
    for method in scenario["unlearning"]:
        if method.get("method") in METHODS:
            METHODS[method["method"]]


def _rows(file: Path) -> list[Json]:
    """Read the rows of the table."""
    rows: list[Json] = read_json(file).get("rows") or []
    valid = isinstance(rows, list) and all(isinstance(row, dict) and {"index", "method"} <= set(row) for row in rows)
    if not valid or not rows:
        raise FolderError(f"{file} is damaged: it holds no rows")
    return rows


def _method(path: Path, place: str) -> MethodRecords:
    """Read the records of one release."""
    certificate, audit, metrics = (
        read_json(path / place / f"{name}.json") for name in ("certificate", "audit", "metrics")
    )
    return MethodRecords(place, certificate, audit, metrics)


def _certified(folder: Path, method: MethodRecords) -> tuple[Certificate, Audit]:
    """Read the certificate and the audit of one release."""
    try:
        certificate, audit = Certificate.from_record(method.certificate), Audit.from_record(method.audit)
    except (CertificateError, TypeError) as problem:
        raise FolderError(f"{folder} is damaged: {problem}") from None
    nodes = len(certificate.release.sigma)
    if len(certificate.sensitivity) not in (0, nodes) or len(audit.divergence) != nodes:
        raise FolderError(f"{folder} is damaged: its certificate and its audit have different numbers of nodes")
    return certificate, audit
