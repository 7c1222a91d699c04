"""Draw how hard each client of a study is to forget, graph by graph."""

import numpy as np

from rewindnet.experiments.report.svg import INK, MUTED, SERIES, figure, inline, log_axis, style
from rewindnet.experiments.studies.hardness import Hardness

#: The ratio of the largest to the smallest measure from which the axis is logarithmic.
_WIDE = 5.0


def hardness_picture(found: Hardness, name: str) -> str:
    """Draw the measure of every client as a dot above its graph, with the hardest client named.

    Args:
        found: the hardness by one release.
        name: a name that is unique on the page.

    Returns:
        An <svg> element.
    """
    with style():
        drawn, axes = figure(1.6 + 0.95 * max(3, len(found.graphs)), 3.3)
        for at, graph in enumerate(found.graphs):
            clients = found.ranked(graph)
            heights = np.array([found.values[graph, client].mean for client in clients])
            axes.plot([at, at], [heights.min(), heights.max()], color=MUTED, linewidth=1.0, zorder=1)
            for client, height in zip(clients, heights, strict=True):
                half = found.values[graph, client].half_width
                if half:
                    axes.errorbar(at, height, yerr=half, color=MUTED, linewidth=0.8, capsize=2, zorder=1)
            axes.plot(np.full(len(heights), at), heights, "o", color=SERIES[0], markersize=5, zorder=2)
            axes.plot([at], [heights[0]], "o", color=SERIES[1], markersize=7, zorder=3)
            axes.annotate(
                clients[0], (at, heights[0]), (7, 0), textcoords="offset points", va="center", color=INK, fontsize=9
            )
        means = [value.mean for value in found.values.values()]
        if min(means) > 0 and max(means) > _WIDE * min(means):
            log_axis(axes)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(found.graphs)), [_broken(graph) for graph in found.graphs])
        axes.set_xlim(-0.5, len(found.graphs) - 0.3)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(found.meaning)
        described = f"{found.release}: {found.meaning} of each client on each graph; the table has the numbers"
        return inline(drawn, name, described)


def _broken(graph: str) -> str:
    """Return the name of a graph on several lines, so that neighbours do not touch."""
    return graph.replace(", ", "\n").replace("-", "-\n", 1) if len(graph) > 10 else graph
