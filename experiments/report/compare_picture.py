"""Draw the claimed, certified and empirical ε of every release beside the accuracy of its models."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from rewindnet.experiments.report.charts.claims import claims_chart
from rewindnet.experiments.report.columns import Row
from rewindnet.experiments.report.drawing import ALARM, INK, MUTED, PAGE, SERIES, Picture, style
from rewindnet.experiments.report.labels import plain

#: How each ε of a row is drawn.
_MARKS: dict[str, dict[str, Any]] = {
    "epsilon_claimed": {"marker": "o", "mfc": "none", "mec": SERIES[1], "markersize": 12},
    "epsilon_certified": {"marker": "s", "mfc": SERIES[0], "mec": SERIES[0], "markersize": 6},
    "epsilon_empirical": {"marker": "x", "mec": ALARM, "markersize": 7},
    "epsilon_lower_bound": {"marker": 5, "mfc": SERIES[2], "mec": SERIES[2], "markersize": 6},
}


def picture(rows: Sequence[Row]) -> bytes:
    """Draw every ε of every row on one axis and its test accuracy on another.

    Returns:
        The picture as a PNG file.
    """
    with style():
        drawn = Figure((10.4, 1.5 + 0.31 * len(rows)), layout="constrained", facecolor=PAGE)
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        _draw(left, right, rows)
        drawn.legend(loc="outside upper left", ncols=2, handletextpad=0.2)
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def claims(rows: Sequence[Row]) -> Picture:
    """Draw the same picture for the figures of a run."""
    with style():
        drawn = Figure((8.6, 1.4 + 0.3 * len(rows)), layout="constrained")
        drawn.patch.set_visible(False)
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        for axes in (left, right):
            axes.patch.set_visible(False)
        _draw(left, right, rows)
        drawn.legend(loc="outside upper left", ncols=2, handletextpad=0.2)
        return Picture("claims", drawn)


def _draw(left: Axes, right: Axes, rows: Sequence[Row]) -> None:
    """Draw both axes, with one line for each row and the first row on top."""
    data = claims_chart(rows).data
    places = np.arange(len(rows))[::-1]
    _epsilons(left, data, places)
    _accuracies(right, data["rows"], places)
    left.set_yticks(places, [row["label"] for row in data["rows"]])
    left.set_ylim(-0.7, len(rows) - 0.3)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        for place in places:
            axes.axhline(place, color=MUTED, linewidth=0.3, zorder=0)


def _epsilons(axes: Axes, data: dict[str, Any], places: np.ndarray[Any, Any]) -> None:
    """Draw every ε of each row on a logarithmic axis, with places for 0 and for no ε."""
    axis = data["axis"]
    for kind in data["kinds"]:
        x = [row["places"][kind["name"]] for row in data["rows"]]
        x = [float("nan") if place is None else place for place in x]
        axes.plot(x, places, linestyle="none", markeredgewidth=1.5, label=kind["label"], **_MARKS[kind["name"]])
    axes.set_xscale("log")
    axes.set_xlim(axis["zero"] / 2, axis["none"] * 1.7)
    axes.axvline(axis["line"], color=MUTED, linewidth=0.7)
    axes.set_xticks([axis["zero"], *axis["ticks"], axis["none"]], ["0", *map(plain, axis["ticks"]), "none\nor ∞"])
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_xlabel(f"ε at δ = {', '.join(data['deltas'])}")


def _accuracies(axes: Axes, rows: Sequence[Row], places: np.ndarray[Any, Any]) -> None:
    """Draw the mean accuracy of each row, and a line down to its lowest node."""
    for place, row in zip(places, rows, strict=True):
        axes.plot([row["lowest"], row["mean"]], [place, place], color=MUTED, linewidth=1.2, zorder=1)
    axes.plot([row["mean"] for row in rows], places, "o", color=INK, markersize=5)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("test accuracy (line: down to the lowest node)")
