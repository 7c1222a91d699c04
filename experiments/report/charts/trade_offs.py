"""What methods give for what they take: accuracy against ε, and the cost of each."""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean
from typing import Any

from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.charts.chart import Chart, finite
from rewindnet.experiments.report.columns import Row, what
from rewindnet.experiments.report.flat import flat
from rewindnet.experiments.report.labels import short

#: The smallest ε that the axis distinguishes.
_SMALLEST = 1e-3
#: The costs that are drawn: the column, and what it is called.
COSTS = (("cost_share_gradients", "gradients"), ("cost_share_bytes", "bytes"), ("cost_share_seconds", "time"))


def releases_of(run: RunFolder) -> list[dict[str, Any]]:
    """Return the rows of a run, flat, each with `release`: its number and its method."""
    return [{"release": f"{row['index']} {what(row)}", **flat(row)} for row in run.summary]


def pareto_chart(rows: Sequence[Row], numbered: bool = False) -> Chart | None:
    """Place the test accuracy of every release above its certified ε, and the front that none of them exceeds.

    Args:
        rows: flat rows with `release`, the series that each belongs to.
        numbered: write the `index` of each row beside its mark.

    Returns:
        None if no row has a certified ε.
    """
    shown = [row for row in rows if row["epsilon_certified"] is not None and isfinite(row["epsilon_certified"])]
    if not shown:
        return None
    positive = [row["epsilon_certified"] for row in shown if row["epsilon_certified"] > _SMALLEST]
    zero, most = min([0.3, *positive]) / 3, max([1.0, *positive]) * 2.5
    marks = [
        {
            "release": short(row["release"]),
            "run": row.get("run"),
            "label": str(row["index"]) if numbered else "",
            "epsilon": row["epsilon_certified"],
            "place": max(zero, row["epsilon_certified"]),
            "accuracy": row["accuracy_test_mean"],
        }
        for row in shown
    ]
    data: dict[str, Any] = {
        "marks": marks,
        "releases": list(dict.fromkeys(mark["release"] for mark in marks)),
        "front": [*front((mark["place"], mark["accuracy"]) for mark in marks)],
        "axis": {
            "zero": zero,
            "most": most,
            "ticks": [10.0**power for power in range(-3, 12) if 2 * zero < 10.0**power <= most],
        },
    }
    data["front"].append((most, data["front"][-1][1]))
    return Chart("pareto", "pareto", "Test accuracy against certified ε, one mark for each release", data)


def front(points: Any) -> list[tuple[float, float]]:
    """Return the points with a higher accuracy than all of a smaller or the same ε, in increasing order of ε."""
    found: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or y > found[-1][1]:
            found.append((x, y))
    return found


def cost_chart(rows: Sequence[Row]) -> Chart:
    """List what each release took, as a share of retraining: the mean over its rows.

    Args:
        rows: flat rows with `release`.
    """
    releases = list(dict.fromkeys(row["release"] for row in rows))
    data = {
        "kinds": [label for _, label in COSTS],
        "rows": [
            {"label": short(release), "shares": [_mean(rows, release, name) for name, _ in COSTS]}
            for release in releases
        ],
    }
    return Chart("cost", "cost", "Gradients, bytes and time of each release, as a share of retraining", data)


def _mean(rows: Sequence[Row], release: str, name: str) -> float | None:
    """Return the mean of a cost over the rows of a release; None if none of them has it."""
    found = [row[name] for row in rows if row["release"] == release and row.get(name) is not None]
    return finite(fmean(found)) if found else None
