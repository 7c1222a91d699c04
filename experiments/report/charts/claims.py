"""Claimed, certified and empirical ε of every release, beside the accuracy of its models."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from rewindnet.experiments.report.charts.chart import Chart, finite
from rewindnet.experiments.report.columns import Row, marks, what
from rewindnet.experiments.report.labels import short

#: The ε of a row, and what they are called.
KINDS = (
    ("epsilon_claimed", "claimed by the method's own formula"),
    ("epsilon_certified", "certified"),
    ("epsilon_empirical", "empirical, of this very pair of runs"),
    ("epsilon_lower_bound", "lower bound, from samples of the noise"),
)
#: Those that a row may lack, without that meaning that its ε is infinite.
_OPTIONAL = ("epsilon_claimed", "epsilon_lower_bound")
#: The smallest and the largest ε that the axis distinguishes.
_SMALLEST, _LARGEST = 1e-3, 1e6


def claims_chart(rows: Sequence[Row]) -> Chart:
    """Place every ε of every row on a logarithmic axis, with places for 0 and for no ε.

    Args:
        rows: the rows of the table.
    """
    shown = [row[name] for row in rows for name, _ in KINDS if row.get(name) is not None and row[name] > 0]
    low = max(_SMALLEST, min([0.3, *shown]) / 1.5)
    high = min(_LARGEST, max([10.0, *shown]) * 1.5)
    ticks = [10.0**power for power in range(-3, 7) if low <= 10.0**power <= high]
    data = {
        "axis": {"low": low, "high": high, "zero": low / 4, "none": high * 4, "line": high * 1.6, "ticks": ticks},
        "deltas": [f"{delta:g}" for delta in sorted({row["delta"] for row in rows})],
        "kinds": [{"name": name, "label": label} for name, label in KINDS],
        "rows": [_row(row, rows, low, high) for row in rows],
    }
    return Chart("claims", "claims", "The ε that each release claims, its certified ε, and what was found", data)


def _row(row: Row, rows: Sequence[Row], low: float, high: float) -> dict[str, Any]:
    """Return the label, the accuracy, and the value and the place of every ε of a row."""
    score = row["accuracy"]["test"]
    return {
        "label": _label(row, rows),
        "mean": finite(score["mean"]),
        "lowest": finite(score["lowest"]),
        "values": {name: finite(row.get(name)) for name, _ in KINDS},
        "places": {name: _place(row.get(name), name, low, high) for name, _ in KINDS},
    }


def _label(row: Row, rows: Sequence[Row]) -> str:
    """Return the label of a row: its run if there are several, its method and its view."""
    several = len({other["run"] for other in rows}) > 1 if "run" in row else False
    label = (f"{row['run']}: " if several else "") + f"{what(row)}, {row['view']}"
    found = marks([row]) if row["epsilon_certified"] is not None else ""
    return short(label) + f" {found}".rstrip()


def _place(value: float | None, name: str, low: float, high: float) -> float | None:
    """Return the position of an ε on the axis; None, which draws no mark, where it may be lacking."""
    if value is None or not isfinite(value):
        return None if name in _OPTIONAL else high * 4
    return low / 4 if value < low else min(value, high)
