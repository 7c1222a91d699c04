"""Draw the pictures of a report: ε against depth, audits against sensitivities, and the course of learning."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from rewindnet.certificates import Audit, Certificate, CertificateError, TrainingRun, certify, scaled_noise
from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.svg import (
    ALARM,
    INK,
    MUTED,
    PAGE,
    SERIES,
    Picture,
    figure,
    line_look,
    log_axis,
    style,
)

#: The largest number of sparse products times nodes for the picture of ε against depth; they take some seconds.
_WORK = 100_000_000
#: The largest number of nodes in a picture of audits.
NODES = 1_000
#: The largest number of depths on a line of that picture.
_DEPTHS = 21

Floats = NDArray[np.float64]


def _label(index: int, certificate: Certificate) -> str:
    """Return the label of a release in a legend."""
    noise = f"{certificate.release.placement} {certificate.claim.allocation}"
    rounds = certificate.release.gossip_rounds
    gossip = f", {rounds} gossip rounds" if rounds else ""
    return f"{index} {certificate.method}: {certificate.claim.bound}, {noise}{gossip}, {certificate.view}"


def depth(run: RunFolder) -> Picture | None:
    """Draw ε against rewind depth, with a line for every rewinding method with noise; None if there is none."""
    lines = [
        (index, certificate, certificate.epsilon)
        for index, (certificate, _) in enumerate(run.certified)
        if rewinds(certificate.method) and certificate.epsilon and any(certificate.release.sigma)
    ]
    if not lines:
        return None
    with style():
        drawn, axes = figure(5.2, 3.0 + 0.17 * len(lines))
        for at, (index, certificate, epsilon) in enumerate(lines):
            # The depth of the run is on every line, whatever the other depths are.
            training = run.training_run_of(index)
            depths = sorted({*_depths(training, len(lines)), certificate.rewound_rounds})
            epsilons = [_epsilon_at(training, certificate, K) for K in depths]
            look = line_look(at)
            shares = [K / certificate.training.rounds for K in depths]
            axes.plot(shares, [e or np.nan for e in epsilons], **look, label=_label(index, certificate))
            axes.axhline(epsilon, color=look["color"], linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
            share = certificate.rewound_rounds / certificate.training.rounds
            axes.plot([share], [epsilon], "o", color=look["color"], markeredgecolor=PAGE, markersize=7)
        log_axis(axes)
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("rewind depth K/T")
        axes.set_ylabel("certified ε at the noise of the run")
        drawn.legend(loc="outside lower left")
        return Picture("depth", drawn, "Certified epsilon against rewind depth, one line for each method with noise")


def _depths(training: TrainingRun, lines: int) -> list[int]:
    """Select the depths K to certify: fewer depths for larger networks and longer runs."""
    T = training.rounds
    affordable = _WORK // (3 * T * max(training.mixing.nodes, 100) * lines)
    return sorted({round(share * T) for share in np.linspace(0, 1, int(np.clip(affordable, 6, _DEPTHS)))})


def _epsilon_at(training: TrainingRun, certificate: Certificate, K: int) -> float | None:
    """Compute the ε certified for a rewind of K rounds with the same σ and allocation; None if there is none."""
    release, claim = (
        replace(certificate.release, checkpoint_round=certificate.training.rounds - K, descent_rounds=K),
        certificate.claim,
    )
    try:
        if certificate.claim.allocation == "optimal":
            size = float(np.sqrt(np.mean(release.sigma**2)))
            release = replace(release, sigma=scaled_noise(training, release, claim, size))
        return certify(training, release, claim).epsilon
    except CertificateError:
        return None


def audits(run: RunFolder) -> list[Picture]:
    """Draw the measured divergence and the sensitivity of each node: a panel for each release with a sensitivity."""
    graph, training = run.network
    hops = _hops(graph, training)
    return [
        _audit(index, certificate, found, hops)
        for index, (certificate, found) in enumerate(run.certified)
        if any(certificate.sensitivity)
    ]


def _audit(index: int, certificate: Certificate, found: Audit, hops: NDArray[np.int64]) -> Picture:
    """Draw the panel of one release."""
    bound, measured = np.array(certificate.sensitivity), np.array(found.divergence)
    order = _closest(np.lexsort((-bound, hops)), bound, measured)
    bound, measured, places = bound[order], measured[order], np.arange(len(order))
    over = measured > bound
    floor = _floor(bound, measured)
    with style():
        drawn, axes = figure(3.3, 2.25)
        edges = np.append(places, len(places)) - 0.5
        axes.stairs(np.where(bound > 0, bound, np.nan), edges, baseline=None, color=INK, linewidth=1.6)
        size = 5 if len(places) <= 40 else 2.5
        axes.plot(places[~over], np.maximum(measured, floor)[~over], "o", color=SERIES[0], markersize=size, mew=0)
        for at in edges[:-1][over]:
            axes.axvspan(at, at + 1, color=ALARM, alpha=0.15, linewidth=0)
        axes.plot(places[over], np.maximum(measured, floor)[over], "X", color=ALARM, markersize=9, mec=PAGE, mew=0.8)
        log_axis(axes)
        axes.set_ylim(floor / 1.6, 1.8 * max(bound.max(), measured.max()))
        _hop_ticks(axes, hops[order])
        title = f"{index} {certificate.method}: {certificate.claim.bound}, {certificate.release.placement}"
        axes.set_title(title if found.holds else f"{title}: VIOLATED", color=INK if found.holds else ALARM)
        below = f"{title}: divergence of every node below its sensitivity: {found.holds}"
        return Picture(f"audit{index}", drawn, below)


def _closest(order: NDArray[np.int64], bound: Floats, measured: Floats) -> NDArray[np.int64]:
    """Return the nodes that are drawn, in order: of a large network, of every few nodes that closest to its bound."""
    if len(order) <= NODES:
        return order
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(measured / bound, posinf=np.inf)
    groups = np.array_split(order, NODES)
    return np.array([group[share[group].argmax()] for group in groups], dtype=np.int64)


def _floor(*values: NDArray[np.float64]) -> float:
    """Return where zeros are drawn on a logarithmic axis: half the smallest positive value."""
    positive = np.concatenate(values)
    positive = positive[positive > 0]
    return float(positive.min() / 2) if len(positive) else 1e-6


def _hops(graph: nx.Graph, training: TrainingRun) -> NDArray[np.int64]:
    """Count the hops [N] of each node from the nearest deleting client."""
    lengths = nx.multi_source_dijkstra_path_length(graph, set(np.flatnonzero(training.deleted).tolist()), weight=None)
    return np.array([lengths[node] for node in range(len(graph))], dtype=np.int64)


def _hop_ticks(axes: Axes, hops: NDArray[np.int64]) -> None:
    """Label each group of nodes at the same distance, and draw lines between the groups."""
    starts = [int(np.searchsorted(hops, hop)) for hop in np.unique(hops)]
    ends = [*starts[1:], len(hops)]
    shown, last = [], -np.inf
    for start, end in zip(starts, ends, strict=True):
        middle = (start + end - 1) / 2
        if middle - last >= len(hops) / 22:
            shown.append((middle, str(hops[start])))
            last = middle
    axes.grid(visible=False, axis="x")
    for start in starts[1:] if len(starts) <= 12 else []:
        axes.axvline(start - 0.5, color=MUTED, linewidth=0.5, linestyle=(0, (2, 3)), zorder=0)
    axes.set_xticks([place for place, _ in shown], [name for _, name in shown])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.7, len(hops) - 0.3)
    axes.set_xlabel("nodes, by hops from the deleting client")


def curves(run: RunFolder) -> list[Picture]:
    """Draw the test accuracy of the average model and the consensus distance over the rounds of each phase.

    Returns:
        Two pictures; none if the noise is secret, because rounds without noise were not measured then.
    """
    accuracy: dict[str, list[tuple[int, float]]] = defaultdict(list)
    consensus: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in run.metrics_lines():
        if "consensus_distance" in line:
            consensus[line["phase"]].append((line["round"], line["consensus_distance"] or np.nan))
        if "test_accuracy_of_average_model" in line:
            accuracy[line["phase"]].append((line["round"], line["test_accuracy_of_average_model"]))
    if not consensus:
        return []
    with style():
        return [
            _curve(accuracy, "accuracy", "test accuracy of the average model", percent=True),
            _curve(consensus, "consensus", "distance of clients to their average", percent=False),
        ]


def _curve(phases: dict[str, list[tuple[int, float]]], name: str, ylabel: str, percent: bool) -> Picture:
    """Draw one quantity over the rounds of each phase."""
    drawn, axes = figure(4.6, 2.9 + 0.17 * -(-len(phases) // 3))
    unlearning: Sequence[str] = [phase for phase in phases if phase not in ("learn", Retrain.name)]
    for phase, points in phases.items():
        look: dict[str, Any] = {"color": INK} if phase == "learn" else {"color": MUTED, "linestyle": (0, (5, 2))}
        look = line_look(unlearning.index(phase)) if phase in unlearning else look
        rounds, values = zip(*points, strict=True)
        axes.plot(rounds, values, **look, label=phase.replace("-", " ", 1), zorder=2.5 if phase in unlearning else 2)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    elif any(value > 0 for points in phases.values() for _, value in points):
        log_axis(axes)
    axes.set_xlabel("round")
    axes.set_title(ylabel)
    drawn.legend(loc="outside lower left", ncols=3)
    return Picture(name, drawn, f"{ylabel}, round by round, for learning, retraining and every method")
