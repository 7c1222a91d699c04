"""Claimed, proved, found: the three ε of every method beside what its models are worth."""

import io
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from rewindnet.experiments.report.svg import ALARM, INK, MUTED, PAGE, SERIES, Picture, plain, short, style
from rewindnet.experiments.report.table import Row, certified, what

#: The ε of a row, how they are drawn, and what they are called.
_MARKS: Sequence[tuple[str, str, dict[str, Any]]] = (
    (
        "epsilon_claimed",
        "claimed by the method's own formula",
        {"marker": "o", "mfc": "none", "mec": SERIES[1], "markersize": 12},
    ),
    ("epsilon_certified", "certified", {"marker": "s", "mfc": SERIES[0], "mec": SERIES[0], "markersize": 6}),
    ("epsilon_empirical", "empirical, of this very pair of runs", {"marker": "x", "mec": ALARM, "markersize": 7}),
    (
        "epsilon_lower_bound",
        "lower bound, from samples of the noise",
        {"marker": 5, "mfc": SERIES[2], "mec": SERIES[2], "markersize": 6},
    ),
)
#: Those that a row may lack, without that meaning that its ε is infinite.
_OPTIONAL = ("epsilon_claimed", "epsilon_lower_bound")
#: The smallest and the largest ε that the axis distinguishes.
_SMALLEST, _LARGEST = 1e-3, 1e6


def picture(rows: Sequence[Row]) -> bytes:
    """Draw the three ε of every row on one axis and its test accuracy on another.

    Returns:
        The picture as a PNG file.
    """
    with style():
        drawn = Figure((10.4, 1.5 + 0.31 * len(rows)), layout="constrained", facecolor=PAGE)
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        draw(left, right, rows)
        drawn.legend(loc="outside upper left", ncols=2, handletextpad=0.2)
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def claims(rows: Sequence[Row]) -> Picture:
    """Draw the same picture for a page."""
    with style():
        drawn = Figure((8.6, 1.4 + 0.3 * len(rows)), layout="constrained")
        drawn.patch.set_visible(False)
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(1.7, 1))
        for axes in (left, right):
            axes.patch.set_visible(False)
        draw(left, right, rows)
        drawn.legend(loc="outside upper left", ncols=2, handletextpad=0.2)
        return Picture("claims", drawn, "The epsilon that each method claims, what is proved, and what was found")


def draw(left: Axes, right: Axes, rows: Sequence[Row]) -> None:
    """Draw both axes, with one line for each row and the first row on top.

    Args:
        left: the axes of ε.
        right: the axes of the accuracy.
        rows: the rows of the table.
    """
    places = np.arange(len(rows))[::-1]
    _epsilons(left, rows, places)
    _accuracies(right, rows, places)
    left.set_yticks(places, [_label(row, rows) for row in rows])
    left.set_ylim(-0.7, len(rows) - 0.3)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        for place in places:
            axes.axhline(place, color=MUTED, linewidth=0.3, zorder=0)


def _label(row: Row, rows: Sequence[Row]) -> str:
    """Return the label of a row: its run if there are several, its method and its view."""
    several = len({other["run"] for other in rows}) > 1 if "run" in row else False
    label = (f"{row['run']}: " if several else "") + f"{what(row)}, {row['view']}"
    return short(label) + " †" * ("†" in certified(row))


def _epsilons(axes: Axes, rows: Sequence[Row], places: np.ndarray[Any, Any]) -> None:
    """Draw the three ε of each row on a logarithmic axis, with places for 0 and for no ε."""
    shown = [row[name] for row in rows for name, _, _ in _MARKS if row.get(name) is not None and row[name] > 0]
    low = max(_SMALLEST, min([0.3, *shown]) / 1.5)
    high = min(_LARGEST, max([10.0, *shown]) * 1.5)
    none, zero = high * 4, low / 4
    for name, label, look in _MARKS:
        x = [_place(row.get(name), name, row, low, high, zero, none) for row in rows]
        axes.plot(x, places, linestyle="none", markeredgewidth=1.5, label=label, **look)
    axes.set_xscale("log")
    axes.set_xlim(zero / 2, none * 1.7)
    axes.axvline(high * 1.6, color=MUTED, linewidth=0.7)
    ticks = [10.0**power for power in range(-3, 7) if low <= 10.0**power <= high]
    axes.set_xticks([zero, *ticks, none], ["0", *map(plain, ticks), "none\nor ∞"])
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_xlabel(f"ε at δ = {', '.join(f'{delta:g}' for delta in sorted({row['delta'] for row in rows}))}")


def _place(value: float | None, name: str, row: Row, low: float, high: float, zero: float, none: float) -> float:
    """Return the position of an ε on the axis; NaN, which draws no mark, where it may be lacking."""
    if value is None or not isfinite(value):
        return float("nan") if name in _OPTIONAL else none
    return zero if value < low else min(value, high)


def _accuracies(axes: Axes, rows: Sequence[Row], places: np.ndarray[Any, Any]) -> None:
    """Draw the mean accuracy of each row, and a line down to its lowest node."""
    scores = [row["accuracy"]["test"] for row in rows]
    for place, score in zip(places, scores, strict=True):
        axes.plot([score["lowest"], score["mean"]], [place, place], color=MUTED, linewidth=1.2, zorder=1)
    axes.plot([score["mean"] for score in scores], places, "o", color=INK, markersize=5)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("test accuracy (line: down to the lowest node)")
