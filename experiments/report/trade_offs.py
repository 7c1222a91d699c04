"""Draw what methods give for what they take: accuracy against ε, and the cost of each."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from rewindnet.experiments.report.charts.trade_offs import cost_chart, pareto_chart
from rewindnet.experiments.report.columns import Row
from rewindnet.experiments.report.drawing import DASHES, INK, MUTED, PAGE, SERIES, Picture, figure, style
from rewindnet.experiments.report.labels import plain

#: The markers of series, which tell them apart without their colours.
_MARKERS = "osD^vPX*"


def series_look(at: int) -> dict[str, Any]:
    """Return the colour and the marker of a series of dots by its number."""
    return {"color": SERIES[at % len(SERIES)], "marker": _MARKERS[at % len(_MARKERS)], "linestyle": "none"}


def pareto(rows: Sequence[Row], numbered: bool = False) -> Picture | None:
    """Draw the test accuracy of every release against its certified ε, and the front that none of them exceeds.

    Args:
        rows: flat rows with `release`, the series that each belongs to.
        numbered: write the `index` of each row beside its dot.

    Returns:
        None if no row has a certified ε.
    """
    chart = pareto_chart(rows, numbered)
    if chart is None:
        return None
    releases = chart.data["releases"]
    with style():
        drawn, axes = figure(5.6, 3.2 + 0.17 * -(-len(releases) // 2))
        for at, release in enumerate(releases):
            own = [mark for mark in chart.data["marks"] if mark["release"] == release]
            x, y = [mark["place"] for mark in own], [mark["accuracy"] for mark in own]
            axes.plot(x, y, **series_look(at), markersize=6, mec=PAGE, mew=0.6, label=release, zorder=3)
        for mark in chart.data["marks"]:
            place = (mark["place"], mark["accuracy"])
            axes.annotate(mark["label"], place, (6, 4), textcoords="offset points", color=INK)
        axes.plot(*zip(*chart.data["front"], strict=True), color=MUTED, linewidth=1, drawstyle="steps-post", zorder=1)
        axes.set_xscale("log")
        _ticks(axes, **chart.data["axis"])
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlabel("certified ε")
        axes.set_title("test accuracy, mean over nodes")
        drawn.legend(loc="outside lower left", ncols=2)
        return Picture("pareto", drawn)


def _ticks(axes: Axes, zero: float, most: float, ticks: Sequence[float]) -> None:
    """Label the axis of ε, with a place for 0."""
    axes.set_xlim(zero / 1.6, most)
    axes.set_xticks([zero, *ticks], ["0", *map(plain, ticks)])
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.tick_params(axis="x", which="minor", length=0)


def costs(rows: Sequence[Row]) -> Picture:
    """Draw what each release took, as a share of retraining: the mean over its rows.

    Args:
        rows: flat rows with `release`.
    """
    data = cost_chart(rows).data
    releases = data["rows"]
    with style():
        drawn, axes = figure(5.6, 1.1 + 0.27 * len(releases))
        places = list(range(len(releases)))[::-1]
        for at, (label, marker) in enumerate(zip(data["kinds"], "os^", strict=True)):
            shares = [float("nan") if row["shares"][at] is None else row["shares"][at] for row in releases]
            axes.plot(shares, places, marker, color=SERIES[at], markersize=7, mfc="none", mew=1.6, label=label)
        axes.axvline(1, color=MUTED, linewidth=0.8, linestyle=DASHES[1])
        axes.set_yticks(places, [row["label"] for row in releases])
        axes.set_ylim(-0.6, len(releases) - 0.4)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlim(left=min(-0.03, axes.get_xlim()[0]))
        axes.set_xlabel("share of retraining")
        drawn.legend(loc="outside upper left", ncols=3)
        return Picture("cost", drawn)
