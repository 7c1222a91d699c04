"""The charts of a study against rewind depth, and against every other setting with several numbers as values."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from rewindnet.certificates.digits import rounded_up
from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.report.charts.chart import Chart
from rewindnet.experiments.report.charts.depth import DEPTH
from rewindnet.experiments.studies.tidy import Row

#: The smallest number of values of a setting that make a line.
_SEVERAL = 3
#: The largest number of lines of a chart; of more, each graph has a chart of its own.
_LINES = 9
#: What tells rows of one series apart that a run has at one place of the axis: its title, and its value.
_TOLD_APART: tuple[tuple[str, Callable[[Row], Any]], ...] = (
    ("ε =", lambda row: f"{row['epsilon_certified']:.2g}"),
    ("release", lambda row: row.get("index")),
)


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
        charts = _of_setting(rows, key, _slug(key))
        if charts and len(charts[0].data["series"]) > _LINES:
            graphs = list(dict.fromkeys(str(row["topology"]) for row in rows))
            apart = ([row for row in rows if str(row["topology"]) == graph] for graph in graphs)
            charts = [
                chart._replace(description=f"{graph}: {chart.description}")
                for graph, own in zip(graphs, apart, strict=True)
                for chart in _of_setting(own, key, f"{_slug(key)}-{_slug(graph)}", graph)
            ]
        listed.append((key, charts))
    return [(key, charts) for key, charts in listed if charts]


def _of_setting(rows: Sequence[Row], key: str, name: str, graph: str | None = None) -> list[Chart]:
    """List the charts of a setting, of all graphs or of one."""
    series, across = _by_setting(rows, key), {"label": f"{key}, {graph}" if graph else key, "percent": False}
    charts = (
        _privacy(series, key, f"privacy-by-{name}", across),
        _accuracy(rows, series, key, f"accuracy-by-{name}", across),
    )
    return [chart for chart in charts if chart is not None]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _are_numbers(values: Collection[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _privacy(series: Mapping[str, list[Row]], at: str, name: str, across: dict[str, Any]) -> Chart | None:
    """List the certified ε of series against a column; where ε is the one asked for, the noise that it takes."""
    if not series:
        return None
    epsilons = [row["epsilon_certified"] for own in series.values() for row in own]
    same = max(epsilons) <= 1.01 * min(epsilons)
    value, label = (
        ("sigma", f"noise σ for ε = {rounded_up(max(epsilons))}") if same else ("epsilon_certified", "certified ε")
    )
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
    series = _series([row for row in rows if rewinds(row["method"])], lambda row: str(row["method"]), "rewind_share")
    return {name: own for name, own in series.items() if len({row["rewind_share"] for row in own}) > 1}


def _by_setting(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    """Return the rows of each release with noise that was made at several values of a setting, by a name of it."""
    series = _series(rows, lambda row: str(row["release"]), key)
    return {name: own for name, own in series.items() if len({row[key] for row in own}) > 1}


def _series(rows: Sequence[Row], named: Callable[[Row], str], at: str) -> dict[str, list[Row]]:
    """Return the rows with noise and a finite ε of each graph, release, view, bound, and ε where runs have several."""
    shown = [row for row in rows if row["sigma"] and row["epsilon_certified"]]
    several = len({row.get("topology") for row in shown}) > 1
    series: dict[str, list[Row]] = defaultdict(list)
    for row in shown:
        graph = f"{row['topology']}: " if several else ""
        series[f"{graph}{named(row)}, {row['view']}, {row['bound']} bound, {row['placement']}"].append(row)
    return {name: own for whole, rows in series.items() for name, own in _apart(whole, rows, at).items()}


def _apart(name: str, rows: Sequence[Row], at: str) -> dict[str, list[Row]]:
    """Return the rows of a series as one, or apart, if a run has several at one place: by their ε, or their index."""
    for title, value in (
        ("ε =", lambda row: f"{row['epsilon_certified']:.2g}"),
        ("release", lambda row: row.get("index")),
    ):
        places: dict[tuple[Any, Any], set[Any]] = defaultdict(set)
        for row in rows:
            places[row.get("run"), row[at]].add(value(row))
        if any(len(values) > 1 for values in places.values()):
            apart: dict[str, list[Row]] = defaultdict(list)
            for row in rows:
                apart[f"{name}, {title} {value(row)}"].append(row)
            return apart
    return {name: list(rows)}


def _lines(series: Mapping[str, Sequence[Row]], at: str, value: str) -> list[dict[str, Any]]:
    """List the marks of each series, and the line through their means."""
    lines = []
    for name, own in series.items():
        marks = [[row[at], row[value]] for row in own]
        means = [[place, fmean(y for x, y in marks if x == place)] for place in sorted({x for x, _ in marks})]
        lines.append({"label": name, "points": means, "marks": marks, "level": None})
    return lines
