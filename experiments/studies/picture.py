"""Draw what a study found: how hard each client is to forget, what rewinding buys, and how learning went."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rewindnet.experiments.report.charts.chart import Chart
from rewindnet.experiments.report.drawing import DASHES, INK, MUTED, SERIES, Picture, figure, line_look, log_axis, style
from rewindnet.experiments.report.pictures import draw_curves
from rewindnet.experiments.report.trade_offs import series_look
from rewindnet.experiments.studies.against import accuracy_chart, depth_chart, setting_charts
from rewindnet.experiments.studies.charts import hardness_chart, learning_charts
from rewindnet.experiments.studies.hardness import Hardness
from rewindnet.experiments.studies.tidy import Row


def hardness_picture(found: Hardness, name: str) -> Picture:
    """Draw the measure of every client as a dot above its graph, with the hardest client named.

    Args:
        found: the hardness by one release.
        name: the name of the files.
    """
    data = hardness_chart(found, name).data
    with style():
        drawn, axes = figure(1.6 + 0.95 * max(3, len(data["graphs"])), 3.3)
        for at in range(len(data["graphs"])):
            _graph(axes, at, [dot for dot in data["dots"] if dot["graph"] == at])
        if data["log"]:
            log_axis(axes)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(data["graphs"])), list(map(_broken, data["graphs"])))
        axes.set_xlim(-0.5, len(data["graphs"]) - 0.3)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(found.meaning)
        return Picture(name, drawn)


def _graph(axes: Axes, at: int, dots: Sequence[Row]) -> None:
    """Draw the clients of one graph."""
    heights = [dot["mean"] for dot in dots]
    axes.plot([at, at], [min(heights), max(heights)], color=MUTED, linewidth=1.0, zorder=1)
    for dot in dots:
        if dot["half"]:
            axes.errorbar(at, dot["mean"], yerr=dot["half"], color=MUTED, linewidth=0.8, capsize=2, zorder=1)
    axes.plot([at] * len(dots), heights, "o", color=SERIES[0], markersize=5, zorder=2)
    hard = [dot["mean"] for dot in dots if dot["hardest"]]
    if not hard:
        return
    axes.plot([at] * len(hard), hard, "o", color=SERIES[1], markersize=7, zorder=3)
    place = (at, heights[0])
    axes.annotate(dots[0]["client"], place, (7, 0), textcoords="offset points", va="center", color=INK, fontsize=9)


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
    return _drawn(depth_chart(rows))


def accuracy_against_depth(rows: Sequence[Row]) -> Picture | None:
    """Draw the test accuracy against rewind depth, beside that of retraining.

    Args:
        rows: the tidy table.

    Returns:
        None if no method rewinds to several depths with noise.
    """
    return _drawn(accuracy_chart(rows))


def against_settings(rows: Sequence[Row], keys: Sequence[str]) -> list[Picture]:
    """Draw ε, or the noise for it, and the accuracy against every setting of the grid with several numbers as values.

    Args:
        rows: the tidy table.
        keys: the keys that vary among the runs.
    """
    charts = [chart for _, own in setting_charts(rows, keys) for chart in own]
    return [picture for picture in map(_drawn, charts) if picture is not None]


def _drawn(chart: Chart | None) -> Picture | None:
    """Draw a chart of something against a setting: lines through means, and a mark for each run."""
    if chart is None:
        return None
    series, level = chart.data["series"], chart.data["level"]
    with style():
        drawn, axes = figure(5.6, 3.0 + 0.17 * len(series))
        for at, line in enumerate(series):
            look = series_look(at)
            axes.plot(*zip(*line["points"], strict=True), **{**line_look(at), "color": look["color"]}, linewidth=1.2)
            axes.plot(*zip(*line["marks"], strict=True), **look, ms=4, label=line["label"])
        if level is not None:
            axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=DASHES[1], zorder=1)
        if chart.data["percent"]:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        else:
            log_axis(axes)
        if chart.data["across"]["percent"]:
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(chart.data["across"]["label"])
        axes.set_ylabel(chart.data["value"])
        drawn.legend(loc="outside lower left")
        return Picture(chart.name, drawn)


def learning_curves(curves: Sequence[Row], topologies: Mapping[str, str]) -> list[Picture]:
    """Draw accuracy and consensus distance over the rounds of learning, a line for each run.

    Args:
        curves: the learning curves of the study.
        topologies: the topology of each run.

    Returns:
        Two pictures; none if nothing was recorded.
    """
    return [draw_curves(chart) for chart in learning_charts(curves, topologies)]
