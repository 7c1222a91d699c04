"""Draw what a study found: how hard each client is to forget, what rewinding buys, and how learning went."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.report.svg import (
    DASHES,
    INK,
    MUTED,
    SERIES,
    Picture,
    figure,
    line_look,
    log_axis,
    short,
    style,
)
from rewindnet.experiments.report.trade_offs import series_look
from rewindnet.experiments.studies.hardness import Hardness
from rewindnet.experiments.studies.tidy import Row

#: The ratio of the largest to the smallest measure from which the axis is logarithmic.
_WIDE = 5.0


def hardness_picture(found: Hardness, name: str) -> Picture:
    """Draw the measure of every client as a dot above its graph, with the hardest client named.

    Args:
        found: the hardness by one release.
        name: a name that is unique on the page.
    """
    with style():
        drawn, axes = figure(1.6 + 0.95 * max(3, len(found.graphs)), 3.3)
        for at, graph in enumerate(found.graphs):
            clients = found.ranked(graph)
            heights = np.array([found.values[graph, client].mean for client in clients])
            axes.plot([at, at], [heights.min(), heights.max()], color=MUTED, linewidth=1.0, zorder=1)
            for client, height in zip(clients, heights, strict=True):
                half = found.values[graph, client].half_width
                if half:
                    axes.errorbar(at, height, yerr=half, color=MUTED, linewidth=0.8, capsize=2, zorder=1)
            axes.plot(np.full(len(heights), at), heights, "o", color=SERIES[0], markersize=5, zorder=2)
            axes.plot([at], [heights[0]], "o", color=SERIES[1], markersize=7, zorder=3)
            axes.annotate(
                clients[0], (at, heights[0]), (7, 0), textcoords="offset points", va="center", color=INK, fontsize=9
            )
        means = [value.mean for value in found.values.values()]
        if min(means) > 0 and max(means) > _WIDE * min(means):
            log_axis(axes)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(found.graphs)), [_broken(short(graph)) for graph in found.graphs])
        axes.set_xlim(-0.5, len(found.graphs) - 0.3)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(found.meaning)
        described = f"{found.release}: {found.meaning} of each client on each graph; the table has the numbers"
        return Picture(name, drawn, described)


def _broken(graph: str) -> str:
    """Return the name of a graph on several lines, so that neighbours do not touch."""
    return graph.replace(", ", "\n").replace("-", "-\n", 1) if len(graph) > 10 else graph


def against_depth(rows: Sequence[Row]) -> Picture | None:
    """Draw the certified ε against rewind depth; where ε is the one asked for, the noise that it takes.

    Args:
        rows: the tidy table.

    Returns:
        None if no method rewinds to several depths with noise.
    """
    series = _by_depth(rows)
    if not series:
        return None
    epsilons = [row["epsilon_certified"] for own in series.values() for row in own]
    same = max(epsilons) <= 1.01 * min(epsilons)
    value, label = ("sigma", f"noise σ for ε = {max(epsilons):.3g}") if same else ("epsilon_certified", "certified ε")
    with style():
        drawn, axes = _over_depths(series, value)
        log_axis(axes)
        axes.set_ylabel(label)
        return Picture("depth", drawn, f"{label} against rewind depth, one line for each method, view and bound")


def accuracy_against_depth(rows: Sequence[Row]) -> Picture | None:
    """Draw the test accuracy against rewind depth, beside that of retraining.

    Args:
        rows: the tidy table.

    Returns:
        None if no method rewinds to several depths with noise.
    """
    series = _by_depth(rows)
    if not series:
        return None
    retrained = [row["accuracy_test_mean"] for row in rows if row["method"] == Retrain.name]
    with style():
        drawn, axes = _over_depths(series, "accuracy_test_mean")
        if retrained:
            axes.axhline(fmean(retrained), color=MUTED, linewidth=0.8, linestyle=DASHES[1], zorder=1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_ylabel("test accuracy, mean over nodes")
        described = "Test accuracy against rewind depth, one line for each series; dashed: retraining"
        return Picture("accuracy-by-depth", drawn, described)


def _by_depth(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each way of rewinding that was made with noise at several depths, by a name of it."""
    shown = [row for row in rows if rewinds(row["method"]) and row["sigma"] and row["epsilon_certified"]]
    several = len({row.get("topology") for row in shown}) > 1
    series: dict[str, list[Row]] = defaultdict(list)
    for row in shown:
        graph = f"{row['topology']}: " if several else ""
        series[f"{graph}{row['method']}, {row['view']}, {row['bound']} bound, {row['placement']}"].append(row)
    return {name: own for name, own in series.items() if len({row["rewind_share"] for row in own}) > 1}


def _over_depths(series: Mapping[str, Sequence[Row]], value: str) -> tuple[Figure, Axes]:
    """Draw a value of each row above its rewind depth, and a line through the means of each series."""
    drawn, axes = figure(5.6, 3.0 + 0.17 * len(series))
    for at, (name, own) in enumerate(series.items()):
        look, shares = series_look(at), sorted({row["rewind_share"] for row in own})
        means = [fmean(row[value] for row in own if row["rewind_share"] == share) for share in shares]
        axes.plot(shares, means, **{**line_look(at), "color": look["color"]}, linewidth=1.2)
        axes.plot([row["rewind_share"] for row in own], [row[value] for row in own], **look, ms=4, label=name)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("rewind depth K/T")
    drawn.legend(loc="outside lower left")
    return drawn, axes


def learning_curves(curves: Sequence[Row], topologies: Mapping[str, str]) -> list[Picture]:
    """Draw accuracy and consensus distance over the rounds of learning, a line for each run.

    Args:
        curves: the learning curves of the study.
        topologies: the topology of each run.

    Returns:
        Two pictures; none if nothing was recorded.
    """
    by_run: dict[str, list[Row]] = defaultdict(list)
    for row in curves:
        if row["phase"] == "learn":
            by_run[row["run"]].append(row)
    if not by_run:
        return []
    quantities = (
        ("accuracy_test_average_model", "accuracy", "test accuracy of the average model"),
        ("consensus_distance", "consensus", "distance of clients to their average"),
    )
    return [_learning(by_run, topologies, column, name, title) for column, name, title in quantities]


def _learning(
    by_run: Mapping[str, Sequence[Row]], topologies: Mapping[str, str], column: str, name: str, title: str
) -> Picture:
    """Draw one quantity over the rounds of learning."""
    kinds = list(dict.fromkeys(topologies[run] for run in by_run))
    named: set[str] = set()
    with style():
        drawn, axes = figure(4.6, 2.9 + 0.17 * -(-len(kinds) // 3))
        for run, lines in by_run.items():
            kind = topologies[run]
            label = "_" if kind in named else short(kind)
            named.add(kind)
            heights = [np.nan if row[column] is None else row[column] for row in lines]
            look = line_look(kinds.index(kind))
            axes.plot([row["round"] for row in lines], heights, **look, label=label, linewidth=1, alpha=0.8)
        if column == "consensus_distance":
            if any((row[column] or 0) > 0 for lines in by_run.values() for row in lines):
                log_axis(axes)
        else:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round")
        axes.set_title(title)
        drawn.legend(loc="outside lower left", ncols=3)
        return Picture(name, drawn, f"{title}, round by round, for learning in every run")
