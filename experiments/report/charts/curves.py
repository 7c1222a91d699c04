"""The test accuracy of the average model and the consensus distance over the rounds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.charts.chart import Chart, finite
from rewindnet.experiments.report.columns import Row

#: The entry of a line of metrics, the name of its chart, and its title.
QUANTITIES = (
    ("test_accuracy_of_average_model", "accuracy", "test accuracy of the average model"),
    ("consensus_distance", "consensus", "distance of clients to their average"),
)


def curve_charts(run: RunFolder) -> list[Chart]:
    """List both quantities, round by round, for learning, retraining and every method.

    Returns:
        Two charts; none if the noise is secret, because rounds without noise were not measured then.
    """
    measured = list(run.metrics_lines())
    if not any("consensus_distance" in line for line in measured):
        return []
    return [_curve(measured, entry, name, title) for entry, name, title in QUANTITIES]


def _curve(measured: Iterable[Row], entry: str, name: str, title: str) -> Chart:
    """List one quantity over the rounds of each phase."""
    phases: dict[str, list[list[float | None]]] = defaultdict(list)
    for line in measured:
        if entry in line:
            phases[line["phase"]].append([line["round"], finite(line[entry])])
    looks = {"learn": "learning", Retrain.name: "retraining"}
    lines = [
        {"label": phase.replace("-", " ", 1), "look": looks.get(phase, "series"), "points": points}
        for phase, points in phases.items()
    ]
    described = f"{title}, round by round, for learning, retraining and every method"
    return curve_chart(name, title, described, lines)


def curve_chart(name: str, title: str, description: str, lines: Sequence[dict[str, Any]]) -> Chart:
    """Return a chart of one quantity over rounds, as a share if it is the accuracy.

    Args:
        name: the name of the chart.
        title: what is measured.
        description: the label for screen readers.
        lines: the lines, each with a `label`, a `look` (`learning`, `retraining` or `series`), and `points`, each of
            which is a round and a value; lines of one label look the same.
    """
    return Chart("curves", name, description, {"title": title, "percent": name == "accuracy", "lines": list(lines)})
