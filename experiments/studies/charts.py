"""The charts of a study: how hard each client is to forget, what rewinding buys, and how learning went."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.report.charts.chart import Chart, finite
from rewindnet.experiments.report.charts.curves import QUANTITIES, curve_chart
from rewindnet.experiments.report.labels import short
from rewindnet.experiments.studies.hardness import Hardness
from rewindnet.experiments.studies.tidy import Row

#: The ratio of the largest to the smallest measure from which the axis is logarithmic.
_WIDE = 5.0


def hardness_chart(found: Hardness, name: str) -> Chart:
    """List the measure of every client on every graph, the hardest client of each first.

    Args:
        found: the hardness by one release.
        name: a name that is unique on the page.
    """
    means = [value.mean for value in found.values.values()]
    data = {
        "meaning": found.meaning,
        "log": min(means) > 0 and max(means) > _WIDE * min(means),
        "graphs": [short(graph) for graph in found.graphs],
        "dots": [
            {
                "graph": at,
                "client": client,
                "mean": found.values[graph, client].mean,
                "half": found.values[graph, client].half_width or None,
                "shown": f"{found.values[graph, client]}{found.marks}",
                "hardest": not rank,
            }
            for at, graph in enumerate(found.graphs)
            for rank, client in enumerate(found.ranked(graph))
        ],
    }
    described = f"{found.release}: {found.meaning} of each client on each graph; the table has the numbers"
    return Chart("hardness", name, described, data)


def depth_chart(rows: Sequence[Row]) -> Chart | None:
    """List the certified ε against rewind depth; where ε is the one asked for, the noise that it takes.

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
    described = f"{label} against rewind depth, one line for each graph, method, view and bound"
    data = {"value": label, "percent": False, "series": _lines(series, value), "level": None}
    return Chart("depth", "depth", described, data)


def accuracy_chart(rows: Sequence[Row]) -> Chart | None:
    """List the test accuracy against rewind depth, beside the mean of retraining.

    Args:
        rows: the tidy table.

    Returns:
        None if no method rewinds to several depths with noise.
    """
    series = _by_depth(rows)
    if not series:
        return None
    label = "test accuracy, mean over nodes"
    retrained = [row["accuracy_test_mean"] for row in rows if row["method"] == Retrain.name]
    data = {
        "value": label,
        "percent": True,
        "series": _lines(series, "accuracy_test_mean"),
        "level": fmean(retrained) if retrained else None,
    }
    return Chart("depth", "accuracy-by-depth", f"{label}, against rewind depth; dashed: retraining", data)


def _by_depth(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each way of rewinding that was made with noise at several depths, by a name of it."""
    shown = [row for row in rows if rewinds(row["method"]) and row["sigma"] and row["epsilon_certified"]]
    several = len({row.get("topology") for row in shown}) > 1
    series: dict[str, list[Row]] = defaultdict(list)
    for row in shown:
        graph = f"{row['topology']}: " if several else ""
        series[f"{graph}{row['method']}, {row['view']}, {row['bound']} bound, {row['placement']}"].append(row)
    return {name: own for name, own in series.items() if len({row["rewind_share"] for row in own}) > 1}


def _lines(series: Mapping[str, Sequence[Row]], value: str) -> list[dict[str, Any]]:
    """List the marks of each series, and the line through their means."""
    lines = []
    for name, own in series.items():
        marks = [[row["rewind_share"], row[value]] for row in own]
        means = [[share, fmean(y for x, y in marks if x == share)] for share in sorted({x for x, _ in marks})]
        lines.append({"label": name, "points": means, "marks": marks, "level": None})
    return lines


def learning_charts(curves: Sequence[Row], topologies: Mapping[str, str]) -> list[Chart]:
    """List accuracy and consensus distance over the rounds of learning, a line for each run.

    Args:
        curves: the learning curves of the study.
        topologies: the topology of each run.

    Returns:
        Two charts; none if nothing was recorded.
    """
    by_run: dict[str, list[Row]] = defaultdict(list)
    for row in curves:
        if row["phase"] == "learn":
            by_run[row["run"]].append(row)
    if not by_run:
        return []
    columns = ("accuracy_test_average_model", "consensus_distance")
    return [
        _learning(by_run, topologies, column, name, title)
        for column, (_, name, title) in zip(columns, QUANTITIES, strict=True)
    ]


def _learning(
    by_run: Mapping[str, Sequence[Row]], topologies: Mapping[str, str], column: str, name: str, title: str
) -> Chart:
    """List one quantity over the rounds of learning."""
    lines = [
        {
            "label": short(topologies[run]),
            "look": "series",
            "points": [[row["round"], finite(row[column])] for row in rows],
        }
        for run, rows in by_run.items()
    ]
    return curve_chart(name, title, f"{title}, round by round, for learning in every run", lines)
