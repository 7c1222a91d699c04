"""The charts of a study: how hard each client is to forget, what rewinding buys, and how learning went."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.report.charts.chart import Chart, finite
from rewindnet.experiments.report.charts.curves import QUANTITIES, curve_chart
from rewindnet.experiments.report.charts.depth import DEPTH
from rewindnet.experiments.report.labels import short
from rewindnet.experiments.studies.hardness import Hardness
from rewindnet.experiments.studies.tidy import Row

#: The ratio of the largest to the smallest measure from which the axis is logarithmic.
_WIDE = 5.0
#: The smallest number of values of a setting that make a line.
_SEVERAL = 3


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
                "hardest": client in found.hardest_of(graph),
            }
            for at, graph in enumerate(found.graphs)
            for client in found.ranked(graph)
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
    return _privacy(_by_depth(rows), "rewind_share", "depth", DEPTH)


def accuracy_chart(rows: Sequence[Row]) -> Chart | None:
    """List the test accuracy against rewind depth, beside the mean of retraining.

    Args:
        rows: the tidy table.

    Returns:
        None if no method rewinds to several depths with noise.
    """
    return _accuracy(rows, _by_depth(rows), "rewind_share", "accuracy-by-depth", DEPTH)


def setting_charts(rows: Sequence[Row], keys: Sequence[str]) -> list[tuple[str, list[Chart]]]:
    """List the noise for ε, or ε, and the accuracy against each setting of the grid whose values are several numbers.

    Args:
        rows: the tidy table.
        keys: the keys that vary among the runs.

    Returns:
        The key of each such setting, and its charts; the client, the seed and rewind depths have other charts.
    """
    listed = []
    for key in keys:
        values = {row.get(key) for row in rows}
        if key == "seed" or key.endswith((".client", ".rewind")) or not _are_numbers(values) or len(values) < _SEVERAL:
            continue
        series, across = _by_setting(rows, key), {"label": key, "percent": False}
        name = re.sub(r"[^a-z0-9]+", "-", key.lower())
        charts = (
            _privacy(series, key, f"privacy-by-{name}", across),
            _accuracy(rows, series, key, f"accuracy-by-{name}", across),
        )
        listed.append((key, [chart for chart in charts if chart is not None]))
    return [(key, charts) for key, charts in listed if charts]


def _are_numbers(values: Collection[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _privacy(series: Mapping[str, list[Row]], at: str, name: str, across: dict[str, Any]) -> Chart | None:
    """List the certified ε of series against a column; where ε is the one asked for, the noise that it takes."""
    if not series:
        return None
    epsilons = [row["epsilon_certified"] for own in series.values() for row in own]
    same = max(epsilons) <= 1.01 * min(epsilons)
    value, label = ("sigma", f"noise σ for ε = {max(epsilons):.3g}") if same else ("epsilon_certified", "certified ε")
    described = f"{label} against {across['label']}, one line for each graph, method, view and bound"
    data = {"value": label, "percent": False, "series": _lines(series, at, value), "level": None, "across": across}
    return Chart("against", name, described, data)


def _accuracy(
    rows: Sequence[Row], series: Mapping[str, list[Row]], at: str, name: str, across: dict[str, Any]
) -> Chart | None:
    """List the test accuracy of series against a column, beside the mean of retraining."""
    if not series:
        return None
    label = "test accuracy, mean over nodes"
    retrained = [row["accuracy_test_mean"] for row in rows if row["method"] == Retrain.name]
    data = {
        "value": label,
        "percent": True,
        "series": _lines(series, at, "accuracy_test_mean"),
        "level": fmean(retrained) if retrained else None,
        "across": across,
    }
    return Chart("against", name, f"{label}, against {across['label']}; dashed: retraining", data)


def _by_depth(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each way of rewinding that was made with noise at several depths, by a name of it."""
    series = _series([row for row in rows if rewinds(row["method"])], lambda row: str(row["method"]))
    return {name: own for name, own in series.items() if len({row["rewind_share"] for row in own}) > 1}


def _by_setting(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    """Return the rows of each release with noise that was made at several values of a setting, by a name of it."""
    series = _series(rows, lambda row: str(row["release"]))
    return {name: own for name, own in series.items() if len({row[key] for row in own}) > 1}


def _series(rows: Sequence[Row], named: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Return the rows with noise and a finite ε of each graph, release, view and bound."""
    shown = [row for row in rows if row["sigma"] and row["epsilon_certified"]]
    several = len({row.get("topology") for row in shown}) > 1
    series: dict[str, list[Row]] = defaultdict(list)
    for row in shown:
        graph = f"{row['topology']}: " if several else ""
        series[f"{graph}{named(row)}, {row['view']}, {row['bound']} bound, {row['placement']}"].append(row)
    return series


def _lines(series: Mapping[str, Sequence[Row]], at: str, value: str) -> list[dict[str, Any]]:
    """List the marks of each series, and the line through their means."""
    lines = []
    for name, own in series.items():
        marks = [[row[at], row[value]] for row in own]
        means = [[place, fmean(y for x, y in marks if x == place)] for place in sorted({x for x, _ in marks})]
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
