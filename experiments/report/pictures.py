"""Draw the figures of a run: ε against depth, audits against sensitivities, and the course of learning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.charts.audit import audit_charts
from rewindnet.experiments.report.charts.chart import Chart
from rewindnet.experiments.report.charts.curves import curve_charts
from rewindnet.experiments.report.charts.depth import depth_chart
from rewindnet.experiments.report.drawing import (
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


def depth(run: RunFolder) -> Picture | None:
    """Draw ε against rewind depth, with a line for every rewinding method with noise; None if there is none."""
    chart = depth_chart(run)
    if chart is None:
        return None
    lines = chart.data["series"]
    with style():
        drawn, axes = figure(5.2, 3.0 + 0.17 * len(lines))
        for at, line in enumerate(lines):
            look = line_look(at)
            axes.plot(*_pairs(line["points"]), **look, label=line["label"])
            axes.axhline(line["level"], color=look["color"], linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
            axes.plot(*_pairs(line["marks"]), "o", color=look["color"], markeredgecolor=PAGE, markersize=7)
        log_axis(axes)
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("rewind depth K/T")
        axes.set_ylabel(chart.data["value"])
        drawn.legend(loc="outside lower left")
        return Picture(chart.name, drawn)


def _pairs(points: Sequence[Sequence[float | None]]) -> tuple[list[float], list[float]]:
    """Return the two coordinates of points, NaN where there is none."""
    pairs = [[np.nan if value is None else value for value in point] for point in points]
    return [x for x, _ in pairs], [y for _, y in pairs]


def audits(run: RunFolder) -> list[Picture]:
    """Draw the measured divergence and the sensitivity of each node: a panel for each release with a sensitivity."""
    return [_audit(chart) for chart in audit_charts(run)]


def _audit(chart: Chart) -> Picture:
    """Draw the panel of one release."""
    data = chart.data
    bound, measured, places = np.array(data["bound"]), np.array(data["measured"]), np.arange(len(data["bound"]))
    over = np.isin(places, data["over"])
    heights = np.maximum(measured, data["floor"])
    with style():
        drawn, axes = figure(3.3, 2.25)
        edges = np.append(places, len(places)) - 0.5
        axes.stairs(np.where(bound > 0, bound, np.nan), edges, baseline=None, color=INK, linewidth=1.6)
        size = 5 if len(places) <= 40 else 2.5
        axes.plot(places[~over], heights[~over], "o", color=SERIES[0], markersize=size, mew=0)
        for at in edges[:-1][over]:
            axes.axvspan(at, at + 1, color=ALARM, alpha=0.15, linewidth=0)
        axes.plot(places[over], heights[over], "X", color=ALARM, markersize=9, mec=PAGE, mew=0.8)
        log_axis(axes)
        axes.set_ylim(data["floor"] / 1.6, 1.8 * max(bound.max(), measured.max()))
        _hop_ticks(axes, np.array(data["hops"]))
        axes.set_title(data["title"], color=INK if data["holds"] else ALARM)
        return Picture(chart.name, drawn)


def _hop_ticks(axes: Axes, hops: np.ndarray[Any, Any]) -> None:
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
    return [draw_curves(chart) for chart in curve_charts(run)]


def draw_curves(chart: Chart) -> Picture:
    """Draw one quantity over rounds; lines with the same label look the same."""
    lines = chart.data["lines"]
    labels = list(dict.fromkeys(line["label"] for line in lines))
    series = [label for label in labels if any(line["label"] == label and line["look"] == "series" for line in lines)]
    fixed: dict[str, dict[str, Any]] = {
        "learning": {"color": INK},
        "retraining": {"color": MUTED, "linestyle": (0, (5, 2))},
    }
    named: set[str] = set()
    with style():
        drawn, axes = figure(4.6, 2.9 + 0.17 * -(-len(labels) // 3))
        for line in lines:
            label = line["label"]
            look = line_look(series.index(label)) if line["look"] == "series" else fixed[line["look"]]
            order = 2.5 if line["look"] == "series" else 2
            axes.plot(*_pairs(line["points"]), **look, label="_" if label in named else label, zorder=order)
            named.add(label)
        if chart.data["percent"]:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        elif any((value or 0) > 0 for line in lines for _, value in line["points"]):
            log_axis(axes)
        axes.set_xlabel("round")
        axes.set_title(chart.data["title"])
        drawn.legend(loc="outside lower left", ncols=3)
        return Picture(chart.name, drawn)
