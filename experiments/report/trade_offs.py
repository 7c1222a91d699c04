"""Draw what methods give for what they take: accuracy against ε, and the cost of each."""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.flat import flat
from rewindnet.experiments.report.svg import DASHES, INK, MUTED, PAGE, SERIES, Picture, figure, plain, short, style
from rewindnet.experiments.report.table import Row, what

#: The markers of series, which tell them apart without their colours.
_MARKERS = "osD^vPX*"
#: The smallest ε that the axis distinguishes.
_SMALLEST = 1e-3
#: The costs that are drawn: the column, what it is called, its marker and its colour.
_COSTS = (
    ("cost_share_gradients", "gradients", "o", SERIES[0]),
    ("cost_share_bytes", "bytes", "s", SERIES[1]),
    ("cost_share_seconds", "time", "^", SERIES[2]),
)


def releases_of(run: RunFolder) -> list[dict[str, Any]]:
    """Return the rows of a run, flat, each with `release`: its number and its method."""
    return [{"release": f"{row['index']} {what(row)}", **flat(row)} for row in run.summary]


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
    shown = [row for row in rows if row["epsilon_certified"] is not None and isfinite(row["epsilon_certified"])]
    if not shown:
        return None
    positive = [row["epsilon_certified"] for row in shown if row["epsilon_certified"] > _SMALLEST]
    zero = min([0.3, *positive]) / 3
    releases = list(dict.fromkeys(row["release"] for row in shown))
    with style():
        drawn, axes = figure(5.6, 3.2 + 0.17 * -(-len(releases) // 2))
        for at, release in enumerate(releases):
            own = [row for row in shown if row["release"] == release]
            x = [max(zero, row["epsilon_certified"]) for row in own]
            y = [row["accuracy_test_mean"] for row in own]
            axes.plot(x, y, **series_look(at), markersize=6, mec=PAGE, mew=0.6, label=short(release), zorder=3)
            for row, across, up in zip(own, x, y, strict=True) if numbered else ():
                axes.annotate(str(row["index"]), (across, up), (6, 4), textcoords="offset points", color=INK)
        front = _front([(max(zero, row["epsilon_certified"]), row["accuracy_test_mean"]) for row in shown])
        front.append((max([1.0, *positive]) * 2.5, front[-1][1]))
        axes.plot(*zip(*front, strict=True), color=MUTED, linewidth=1, drawstyle="steps-post", zorder=1)
        axes.set_xscale("log")
        _ticks(drawn, zero, max([1.0, *positive]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axes.set_xlabel("certified ε")
        axes.set_title("test accuracy, mean over nodes")
        drawn.legend(loc="outside lower left", ncols=2)
        return Picture("pareto", drawn, "Test accuracy against certified epsilon, one mark for each release")


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points with a higher accuracy than all of a smaller or the same ε, in increasing order of ε."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def _ticks(drawn: Figure, zero: float, most: float) -> None:
    """Label the axis of ε, with a place for 0."""
    axes = drawn.axes[0]
    axes.set_xlim(zero / 1.6, most * 2.5)
    inner = [10.0**power for power in range(-3, 12) if 2 * zero < 10.0**power <= most * 2.5]
    axes.set_xticks([zero, *inner], ["0", *map(plain, inner)])
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.tick_params(axis="x", which="minor", length=0)


def costs(rows: Sequence[Row]) -> Picture:
    """Draw what each release took, as a share of retraining: the mean over its rows.

    Args:
        rows: flat rows with `release`.
    """
    releases = list(dict.fromkeys(row["release"] for row in rows))
    with style():
        drawn, axes = figure(5.6, 1.1 + 0.27 * len(releases))
        places = list(range(len(releases)))[::-1]
        for name, label, marker, colour in _COSTS:
            shares = [
                fmean(row[name] for row in rows if row["release"] == release and row.get(name) is not None)
                if any(row["release"] == release and row.get(name) is not None for row in rows)
                else float("nan")
                for release in releases
            ]
            axes.plot(shares, places, marker, color=colour, markersize=7, mfc="none", mew=1.6, label=label)
        axes.axvline(1, color=MUTED, linewidth=0.8, linestyle=DASHES[1])
        axes.set_yticks(places, list(map(short, releases)))
        axes.set_ylim(-0.6, len(releases) - 0.4)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlim(left=min(-0.03, axes.get_xlim()[0]))
        axes.set_xlabel("share of retraining")
        drawn.legend(loc="outside upper left", ncols=3)
        return Picture("cost", drawn, "Gradients, bytes and time of each release, as a share of retraining")
