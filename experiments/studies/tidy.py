"""The results of a study as one tidy table: a row for each run, request, method and view."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates.planning.arithmetic import evenly_averaged_noise
from rewindnet.experiments.folder.files import parse_object, read_text
from rewindnet.experiments.folder.format import is_complete
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.report.columns import what
from rewindnet.experiments.report.flat import flat
from rewindnet.experiments.scenario.sections import Choice
from rewindnet.experiments.scenario.settings import DataSettings, UnlearningSettings
from rewindnet.experiments.studies.study_folder import StudyFolder, StudyRun
from rewindnet.topologies.distances import hop_distances

Row = dict[str, Any]

#: The key of a line of metrics.jsonl with the accuracy, which most lines do not have.
_ACCURACY = "test_accuracy_of_average_model"

#: The keys that name a choice of a registry.
_CHOICES = frozenset({Choice.key, DataSettings.key, UnlearningSettings.key})
#: The columns of a summary whose names do not say what their numbers are.
_NAMED = {"rewind": "rewind_share", "rounds": "descent_rounds", "simulated_seconds": "cost_simulated_seconds"}
#: The order in which the first columns stand, after those of the grid.
_FIRST = ("seed", "topology", "nodes", "client", "request", "method", "release", "view", "bound")


def tidy_rows(study: StudyFolder) -> list[Row]:
    """Return a row for each release of each finished run of a study.

    Names say what a number is: `_seconds`, `_bytes`, `_rounds`, `_share` (of retraining, or of all rounds). Accuracies
    are shares of samples, distances are Euclidean, and ε and δ have no unit.

    Raises:
        FolderError: if a run folder is damaged.
    """
    rows = [row for run in study.runs if is_complete(run.folder) for row in _rows_of(run, read_folder(run.folder))]
    # A column that is empty in all rows says nothing.
    filled = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if any(_is_given(row, name) for row in rows)
    ]
    keys = [key for key in study.keys if key in filled]
    ordered = dict.fromkeys(["run", *keys, *(name for name in _FIRST if name in filled), *filled])
    return [{name: row.get(name) for name in ordered} for row in rows]


def curve_rows(study: StudyFolder) -> list[Row]:
    """Return a row for each round of each finished run in which the network was looked at.

    `phase` is what went on, such as learning, retraining, or the number and name of a release; `round` counts from 1.
    """
    return [row for run in study.runs if is_complete(run.folder) for row in _curve_of(run)]


def _curve_of(run: StudyRun) -> Iterator[Row]:
    """Return the rows of the learning curves of one run."""
    file = run.folder / "metrics.jsonl"
    for text in read_text(file).splitlines():
        line = parse_object(text, str(file))
        if _ACCURACY in line:
            yield {
                "run": run.folder.name,
                **_values(run),
                "phase": line.get("phase"),
                "round": line.get("round"),
                "accuracy_test_average_model": line[_ACCURACY],
                "consensus_distance": line.get("consensus_distance"),
            }


def unfinished_in(study: StudyFolder) -> list[str]:
    """Return the names of the runs of a study that are not finished."""
    return [run.folder.name for run in study.runs if not is_complete(run.folder)]


def _is_given(row: Row, name: str) -> bool:
    return row.get(name) not in (None, "")


def _rows_of(run: StudyRun, folder: RunFolder) -> list[Row]:
    """Return the rows of one run."""
    seed, kind = folder.record["seed"], folder.scenario["topology"].get("kind")
    rows = []
    for index, (row, method) in enumerate(zip(folder.summary, folder.methods, strict=True)):
        request = int(row.get("request", 0))
        facts = {"seed": seed, "topology": kind, **_client_facts(folder, request), "release": what(row)}
        facts["score_noise_predicted"] = _predicted_noise(folder, index)
        costs = {f"cost_{name}": value for name, value in method.metrics["cost"].items()}
        numbers = {_NAMED.get(name, name): value for name, value in flat(row).items()}
        rows.append({"run": run.folder.name, **facts, **numbers, **costs, **_values(run)})
    return rows


def _predicted_noise(folder: RunFolder, index: int) -> float | None:
    """Return the noise of a score that arithmetic predicts of a release, from what was known before learning."""
    certificate, _ = folder.certified[index]
    if certificate.epsilon is None:
        return None
    training = folder.training_run_of(index)
    noise = evenly_averaged_noise(training, certificate.release, certificate.claim, certificate.epsilon)
    return None if noise is None else noise * training.constants.radius.value


def _values(run: StudyRun) -> Row:
    """Return the value of each key of the grid; lists and mappings as text."""
    return {key: value if isinstance(value, str | int | float) else _text(value) for key, value in run.values.items()}


def _client_facts(folder: RunFolder, request: int) -> Row:
    """Return who deletes, and its place in the network."""
    topology, learning = folder.topology, folder.learning["requests"][request]
    nodes = int(topology["nodes"])
    deleting = [node for node, positions in enumerate(learning["deleted"]) if positions]
    client = deleting[0] if len(deleting) == 1 else None
    facts: Row = {
        "nodes": nodes,
        "deleting_clients": len(deleting),
        "links": len(topology["edges"]),
        "spectral_gap": topology.get("spectral_gap"),
    }
    if client is None:
        return facts
    names, samples = folder.names, learning["samples"]
    return {
        **facts,
        "client": client if names is None else names[client],
        "client_samples": samples[client],
        "client_deleted_samples": learning["deleted"][client],
        **_place(topology["edges"], nodes, client),
        "client_own_weight": sum(value for i, j, value in topology["weights"] if i == j == client),
    }


def _place(edges: Sequence[Sequence[int]], nodes: int, client: int) -> Row:
    """Return the number of neighbours of a client, and how many hops away the others are."""
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    row, column = np.concatenate([pairs, pairs[:, ::-1]]).T
    hops = hop_distances(csr_array((np.ones(len(row)), (row, column)), shape=(nodes, nodes)), client)
    others = np.delete(hops, client)
    if not len(others):
        return {"client_links": 0}
    return {
        "client_links": int(np.sum(others == 1)),
        "client_mean_hops": float(others.mean()),
        "client_most_hops": int(others.max()),
    }


def _text(value: Any) -> str:
    """Return a list or a mapping of a grid as text; the name of a choice, as of a topology, comes first, by itself."""
    if isinstance(value, Mapping):
        first = sorted(value.items(), key=lambda item: item[0] not in _CHOICES)
        return ", ".join(_text(inner) if key in _CHOICES else f"{key} {_text(inner)}" for key, inner in first)
    return " ".join(map(_text, value)) if isinstance(value, list) else str(value)
