"""Findings of the verifier, and the records of a run folder in the form that certificates need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isclose
from typing import Any

import networkx as nx
import numpy as np
from scipy.sparse import coo_array, csr_array

from rewindnet.certificates import Certificate, CertificateError, Mixing, TrainingRun
from rewindnet.certificates.findings import Finding, passed
from rewindnet.clients.methods.base import MismatchError as MismatchError
from rewindnet.clients.methods.base import demand as demand
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.experiments.folder.reader import (
    FolderError,
    Json,
    MethodRecords,
    RunFolder,
    goes_on_from_releases,
    recorded_schedules,
    recorded_training_runs,
    released_training_runs,
)
from rewindnet.experiments.scenario.computation import noise_address
from rewindnet.experiments.scenario.inputs import hashes, recorded_inputs

#: The largest relative difference between a recorded and a derived number that count as equal.
TOLERANCE = 1e-9
#: The unit roundoff of each floating-point type.
UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}
#: The errors of reading a record that lacks something, or has something else in its place.
DAMAGE = (KeyError, TypeError, ValueError, IndexError, AttributeError)


@dataclass(frozen=True)
class RecordedNetwork:
    """A network with the same mixing matrix in every round, read from topology.json.

    Attributes:
        weights: [N, N], the mixing matrix.
    """

    weights: csr_array

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return int(self.weights.shape[0])

    def matrix(self, round: int) -> csr_array:
        """Return the mixing matrix [N, N] of a round, which is the same in all rounds."""
        return self.weights

    def participating(self, round: int) -> None:
        """Return None: all nodes participate in every round."""


def finding(what: str, check: Callable[..., str], *arguments: Any) -> Finding:
    """Run a check, and turn its sentence or its error into a finding.

    Args:
        what: what is checked.
        check: returns a sentence, or raises `MismatchError`, `CertificateError` or `FolderError`.
        arguments: the arguments of the check.
    """
    try:
        return passed(what, check(*arguments))
    except (MismatchError, CertificateError, FolderError) as problem:
        return Finding(what, "FAILS", str(problem))
    except DAMAGE as problem:
        return Finding(what, "FAILS", f"the records are damaged: {type(problem).__name__} {problem}")


def estimates_constants(folder: RunFolder) -> bool:
    """Return whether the scenario of a run has constants estimated along the rounds of learning."""
    return bool(folder.scenario["model"].get("constants") == "estimated")


def recorded_weights(folder: RunFolder) -> csr_array:
    """Rebuild the mixing matrix [N, N] of the whole graph from topology.json."""
    N = int(folder.topology["nodes"])
    rows, columns, values = (np.array(part) for part in zip(*folder.topology["weights"], strict=True))
    entries = coo_array((values.astype(np.float64), (rows.astype(int), columns.astype(int))), shape=(N, N))
    weights = csr_array(entries.tocsr())
    weights.sort_indices()
    return weights


def recorded_network(folder: RunFolder) -> tuple[Mixing, Mixing | None]:
    """Rebuild the mixing matrices of all rounds from topology.json, after checking its schedule against the scenario.

    Returns:
        The mixing matrices of the network that remains; and those of learning if clients have left since, else None.

    Raises:
        MismatchError: if the schedule, the seed or the departed clients are not those of the scenario.
    """
    weights, topology, scenario = recorded_weights(folder), folder.topology, folder.scenario
    recorded, wanted = topology["schedule"], scenario["topology"]["schedule"]
    demand(topology["seed"] == scenario["seed"], "its rounds are drawn from another seed than that of the scenario")
    equal = recorded.keys() == wanted.keys()
    equal = equal and all(recorded[key] == value for key, value in wanted.items() if key != "graphs")
    equal = equal and _same_graphs(wanted.get("graphs", []), recorded.get("graphs", []))
    demand(equal, f"the schedule {short(recorded)} is not that of the scenario")
    learning = {key: value for key, value in scenario["learning"].items() if key in topology["learning"]}
    demand(topology["learning"] == learning, f"learning by {topology['learning']} is not what the scenario asks for")
    leaves = scenario["deletion"]["departure"] == "leave"
    demand(
        topology["departed"] == sorted(map(int, folder.learning["requests"][-1]["forget"])) * leaves,
        "the departed clients are not those that delete with departure leave",
    )
    if recorded["kind"] == "static" and learning["kind"] == "gossip" and not leaves:
        return RecordedNetwork(weights), None
    graph = nx.empty_graph(weights.shape[0])
    graph.add_edges_from(topology["edges"])
    return recorded_schedules(topology, graph, weights)


def _same_graphs(wanted: Sequence[Any], recorded: Sequence[Any]) -> bool:
    """Return whether the recorded graphs are those of the scenario; graphs from files are only counted."""
    return len(wanted) == len(recorded) and all(
        isinstance(links, str) or {tuple(sorted(pair)) for pair in links} == {tuple(pair) for pair in found}
        for links, found in zip(wanted, recorded, strict=True)
    )


def recorded_requests(folder: RunFolder) -> list[TrainingRun]:
    """Read from learning.json how the network learned up to each request."""
    mixing, mixing_before = recorded_network(folder)
    return recorded_training_runs(folder.scenario, folder.learning, mixing, mixing_before)


def recorded_runs_of_releases(folder: RunFolder) -> list[TrainingRun]:
    """Derive, for each release, how the network had learned when the request arrived that it answers.

    Raises:
        CertificateError: if learning cannot have gone on from a recorded release.
    """
    training_runs = recorded_requests(folder)
    if not goes_on_from_releases(folder.scenario):
        return [training_runs[folder.request_of(index)] for index in range(len(folder.methods))]
    certificates = [certificate_of(method) for method in folder.methods]
    return released_training_runs(folder.scenario, training_runs, certificates)


def request_of(folder: RunFolder, index: int) -> int:
    """Return the number of the request that a release answers; every method answers each request."""
    return folder.request_of(index)


def noise_address_of(folder: RunFolder, index: int) -> NoiseAddress:
    """Return where the noise of a release is drawn, if it is drawn from the seed."""
    forget = folder.learning["requests"][request_of(folder, index)]["forget"]
    plain = {int(node): positions for node, positions in forget.items()}
    return replace(noise_address(folder.scenario, plain, hashes(recorded_inputs(folder.record))), release=index)


def request_suffix_of(folder: RunFolder, index: int) -> str:
    """Return the suffix of array names that belong to the request of a release; empty if there is only one request."""
    return folder.suffix_of(index)


def traffic_of(folder: RunFolder) -> Json:
    """Read `traffic.json`.

    Raises:
        MismatchError: if it is missing or damaged.
    """
    try:
        return folder.traffic
    except FolderError as problem:
        raise MismatchError(str(problem)) from None


def certificate_of(method: MethodRecords) -> Certificate:
    """Read the certificate of a release."""
    return Certificate.from_record(method.certificate)


def same(a: Any, b: Any) -> bool:
    """Return whether two values are equal; numbers, also inside lists and mappings, may differ by `TOLERANCE`."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b or a == b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-300)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def demand_same(given: Any, expected: Any, sentence: Callable[[str, str, str], str], name: str = "") -> None:
    """Raise an error at the first place, within mappings and lists, at which two values differ.

    Args:
        given: the recorded value.
        expected: the value that follows.
        sentence: makes the message of the name of the place, the recorded and the expected value there.
        name: the name of the value.

    Raises:
        MismatchError: if they differ by more than `TOLERANCE`.
    """
    if same(given, expected):
        return
    if isinstance(given, dict) and isinstance(expected, dict):
        for key in sorted({*given, *expected}, key=str):
            demand_same(given.get(key), expected.get(key), sentence, f"{name}.{key}" if name else str(key))
    if isinstance(given, list) and isinstance(expected, list) and len(given) == len(expected):
        for at, (one, other) in enumerate(zip(given, expected, strict=True)):
            demand_same(one, other, sentence, f"{name}.{at}")
    raise MismatchError(sentence(name, short(given), short(expected)))


def short(value: Any) -> str:
    """Return a value as text of at most 80 characters."""
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else text[:77] + "…"
