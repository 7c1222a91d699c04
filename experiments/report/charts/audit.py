"""The measured divergence and the sensitivity of each node: a panel for each release with a sensitivity."""

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Audit, Certificate, TrainingRun
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.charts.chart import Chart, digits

#: The largest number of nodes in a panel.
NODES = 1_000

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def audit_charts(run: RunFolder) -> list[Chart]:
    """List what each node may diverge by, and by how much it diverged, in the order of its hops."""
    graph, training = run.network
    hops = _hops(graph, training)
    return [
        _audit(index, certificate, found, hops)
        for index, (certificate, found) in enumerate(run.certified)
        if any(certificate.sensitivity)
    ]


def _audit(index: int, certificate: Certificate, found: Audit, hops: Counts) -> Chart:
    """List the nodes of one release."""
    bound, measured = np.array(certificate.sensitivity), np.array(found.divergence)
    order = closest(np.lexsort((-bound, hops)), bound, measured)
    bound, measured = bound[order], measured[order]
    title = f"{index} {certificate.method}: {certificate.claim.bound}, {certificate.release.placement}"
    data = {
        "title": title if found.holds else f"{title}: VIOLATED",
        "holds": found.holds,
        "nodes": order.tolist(),
        "hops": hops[order].tolist(),
        "bound": [digits(value) for value in bound.tolist()],
        "measured": [digits(value) for value in measured.tolist()],
        "over": np.flatnonzero(measured > bound).tolist(),
        "floor": _floor(bound, measured),
    }
    below = "every node is within its sensitivity" if found.holds else "a node exceeds its sensitivity"
    return Chart("audit", f"audit{index}", f"{title}: measured divergence of each node; {below}", data)


def closest(order: Counts, bound: Floats, measured: Floats) -> Counts:
    """Return the nodes that are drawn, in order: of a large network, of every few nodes that closest to its bound."""
    if len(order) <= NODES:
        return order
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(measured / bound, posinf=np.inf)
    groups = np.array_split(order, NODES)
    return np.array([group[share[group].argmax()] for group in groups], dtype=np.int64)


def _floor(*values: Floats) -> float:
    """Return where zeros are drawn on a logarithmic axis: half the smallest positive value."""
    positive = np.concatenate(values)
    positive = positive[positive > 0]
    return float(positive.min() / 2) if len(positive) else 1e-6


def _hops(graph: nx.Graph, training: TrainingRun) -> Counts:
    """Count the hops [N] of each node from the nearest deleting client."""
    lengths = nx.multi_source_dijkstra_path_length(graph, set(np.flatnonzero(training.deleted).tolist()), weight=None)
    return np.array([lengths[node] for node in range(len(graph))], dtype=np.int64)
