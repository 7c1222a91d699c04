"""What forgetting would take if another client asked: planned for the page of a run, from its records alone.

Nothing is learned. The figures are those of `rewindnet plan` for the worst case: the noise that each client needs in
every view, at several depths and for both placements, and where its data can have arrived by which round.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import CertificateError, TrainingRun, epsilon_of, mu_of
from rewindnet.certificates.planning.requirements import (
    ALLOCATIONS,
    PLACEMENTS,
    NoiseRequirements,
    noise_requirements,
    sigma_for,
)
from rewindnet.certificates.view import View
from rewindnet.clients.data.deletion import deletable
from rewindnet.clients.methods import rewinds
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.best import asked_epsilon
from rewindnet.experiments.scenario.names import client_title

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

#: The views that are planned, the cheapest last.
_VIEWS = ("transcript", "node", "joint", "average", "transcript:all")
#: The largest number of nodes for which every view is planned; views of single peers take products of light cones.
_PEERS = 150
#: The most depths, and the fewest where there are many clients.
_DEPTHS, _FEW_DEPTHS = 11, 6
#: The largest number of planned (client, depth) pairs, which decides the size of the page.
_PAIRS = 800
#: The largest number of products of a matrix entry with a vector entry; they take a few seconds.
_WORK = 600_000_000
#: The largest number of light cones that are followed from node to node, and of entries on the page.
_REACHED = 300_000


class NotPlannedError(Exception):
    """Other requests of this run are not planned; the message says why, as the part of a sentence after a colon."""


def planned_requests(run: RunFolder) -> dict[str, Any]:
    """Return what forgetting would take for each client that is planned, as plain JSON.

    Raises:
        NotPlannedError: if the requests of this run cannot be planned.
    """
    graph, training = run.network
    _refuse(run, training)
    counts, assumed = _counts(run, training)
    depths, clients = _selected(graph, training, counts)
    views = [View.of(view) for view in (_VIEWS if len(graph) <= _PEERS else _VIEWS[2:])]
    settings: dict[str, Any] = {"rewound": depths, "descent_rounds": depths}
    try:
        requirements = noise_requirements(training, clients, counts[clients], views, **settings)
    except CertificateError as problem:
        raise NotPlannedError(str(problem)) from None
    row = next((row for row in run.summary if rewinds(row["method"]) and row["sigma"]), None)
    epsilon, delta = asked_epsilon(run), (row or run.summary[0])["delta"]
    sigma = sigma_for(requirements, mu_of(epsilon, delta))
    reached = _first_reached(training, clients)
    at_noise = [None if row is None else _epsilons(requirements, at, row["sigma"], delta) for at in range(len(clients))]
    return {
        "rounds": training.rounds,
        "epsilon": epsilon,
        "delta": delta,
        "depths": list(depths),
        "placements": list(PLACEMENTS),
        "allocations": list(ALLOCATIONS),
        "views": [{"view": str(view), "observer": view.observer} for view in views],
        "noise": None if row is None else {"sigma": row["sigma"], "index": row["index"], "method": row["method"]},
        "assumed": assumed,
        "conditional": training.constants.conditional,
        "clients": [
            {
                **_client(run, client, int(counts[client])),
                "sigma": _rounded(sigma[..., at]),
                "epsilon": at_noise[at],
                "reached": reached[:, at].tolist(),
            }
            for at, client in enumerate(clients.tolist())
        ],
    }


def _client(run: RunFolder, client: int, deleted: int) -> dict[str, Any]:
    """Describe a client: what it is called, what it holds and would delete, and its links."""
    graph, training = run.network
    return {
        "node": client,
        "title": client_title(client, run.names),
        "samples": int(training.samples[client]),
        "deleted": deleted,
        "links": int(graph.degree[client]),
    }


def _refuse(run: RunFolder, training: TrainingRun) -> None:
    """Refuse runs whose other requests would be another network, or another run of learning.

    Raises:
        NotPlannedError: for such a run.
    """
    if len(run.learning["requests"]) > 1:
        raise NotPlannedError("the run answers several requests, and a plan covers one")
    if training.departed:
        raise NotPlannedError("the client left, and every departure leaves another network behind")
    if training.batches is not None:
        raise NotPlannedError("which minibatches are drawn depends on which client asks")
    if not np.isfinite(training.constants.G.value) or training.constants.G.provenance == "unknown":
        raise NotPlannedError("no bound on the gradients of this model is known")


def _counts(run: RunFolder, training: TrainingRun) -> tuple[Counts, str]:
    """Return how many samples each client would delete, [N], and that in words."""
    wanted = run.scenario["deletion"]["samples"]
    number = int(training.deleted.max())
    if not isinstance(wanted, int | float) and wanted != "all":
        # Other clients do not have what is named, such as positions, a class, or the poisoned samples.
        return np.minimum(number, training.samples), f"as many samples as were deleted here, {number}"
    said = {"all": "all of its samples"}.get(str(wanted), f"{wanted} of its samples")
    said = f"{100 * wanted:g} % of its samples" if isinstance(wanted, float) else said
    return deletable(wanted, None, training.samples), said


def _selected(graph: nx.Graph, training: TrainingRun, counts: Counts) -> tuple[tuple[int, ...], Counts]:
    """Select the depths and the clients: all, or as many as take seconds, of which the client of the run is the first.

    Others are evenly spread over the clients in the order of their links.
    """
    T, able = training.rounds, np.flatnonzero(counts)
    entries = 2 * max(training.mixing.matrix(0).nnz, training.mixing.nodes)
    most = int(np.clip(_PAIRS // max(1, len(able)), _FEW_DEPTHS, _DEPTHS))
    depths = tuple(sorted({round(share * T) for share in np.linspace(0, 1, most).tolist()}))
    affordable = [
        _PAIRS // len(depths),
        _WORK // (entries * (T + sum(depths))),
        _REACHED // training.mixing.nodes,
    ]
    count = int(np.clip(min(affordable), 1, len(able)))
    asked = int(training.deleted.argmax())
    if count == len(able):
        return depths, able
    others = able[able != asked]
    ordered = others[np.lexsort((others, [graph.degree[node] for node in others.tolist()]))]
    chosen = ordered[np.unique(np.linspace(0, len(ordered) - 1, count - 1).round().astype(np.int64))]
    return depths, np.sort(np.append(chosen, asked))


def _first_reached(training: TrainingRun, clients: Counts) -> Counts:
    """Return after how many rounds the data of each client can have reached each node: [N, k]; −1 where never.

    A message goes one link of the realised graph in a round, so these are the light cones of all nodes, seen from k of
    them.
    """
    N, k = training.mixing.nodes, len(clients)
    inside = np.zeros((N, k), dtype=np.float32)
    inside[clients, np.arange(k)] = 1
    first = np.where(inside > 0, 1, -1)
    settled: object = None
    for t in range(training.rounds):
        W = training.mixing.matrix(t)
        if W is settled or np.all(first > 0):
            continue
        now = ((W != 0).astype(np.float32) @ inside > 0) | (inside > 0)
        settled = W if np.array_equal(now, inside > 0) else None
        first[now & (first < 0)] = t + 1
        inside = now.astype(np.float32)
    return np.asarray(first)


def _rounded(values: Floats) -> Any:
    """Return numbers as nested lists, rounded up to four digits; None for those that are not finite."""
    if values.ndim:
        return [_rounded(value) for value in values]
    return _up(float(values)) if np.isfinite(values) else None


def _up(value: float) -> float:
    """Return a number rounded up to four digits."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 3)
    return float(f"{np.ceil(value / unit * (1 - 1e-12)) * unit:.4g}")


def _epsilons(requirements: NoiseRequirements, at: int, sigma: float, delta: float) -> Any:
    """Return the ε that noise of this σ gives a client, [2, D, V, 2] as nested lists; None where there is none."""

    def each(values: Floats) -> Any:
        if values.ndim:
            return [each(value) for value in values]
        return _epsilon(_up(float(values)) / sigma, delta) if np.isfinite(values) else None

    return each(requirements.needed[..., at])


@cache
def _epsilon(mu: float, delta: float) -> float | None:
    """Return the ε of a μ, rounded up to four digits; None if it is not finite."""
    epsilon = epsilon_of(mu, delta) if mu else 0.0
    return _up(epsilon) if np.isfinite(epsilon) else None


def coverage(planned: dict[str, Any], nodes: int) -> Sequence[str]:
    """Say which clients and views are planned.

    Args:
        planned: the result of `planned_requests`.
        nodes: N.
    """
    count = len(planned["clients"])
    said = (
        ["Every client can be chosen."]
        if count == nodes
        else [
            f"To keep this page small and quick, {count} of {nodes:,} clients can be chosen: the one that asked, and "
            "others from the fewest to the most links. `rewindnet plan` covers more."
        ]
    )
    if len(planned["views"]) < len(_VIEWS):
        said.append("Views of single peers are left out, as they take long in a network of this size.")
    return said
