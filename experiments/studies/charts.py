"""The charts of a study: how hard each client is to forget, what rewinding buys, and how learning went."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from rewindnet.experiments.report.charts.chart import Chart, finite
from rewindnet.experiments.report.charts.curves import QUANTITIES, curve_chart
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
                "shown": found.text(found.values[graph, client]),
                "hardest": client in found.hardest_of(graph),
            }
            for at, graph in enumerate(found.graphs)
            for client in found.ranked(graph)
        ],
    }
    described = f"{found.release}: {found.meaning} of each client on each graph; the table has the numbers"
    return Chart("hardness", name, described, data)


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
