"""Draw the network with the sensitivity of each node to the deletion."""

from typing import Any

import matplotlib
import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.charts.network import EVEN, subject
from rewindnet.experiments.report.drawing import INK, MUTED, PAGE, Picture, figure, style
from rewindnet.experiments.report.labels import plain, short

#: The largest number of nodes that have a wide margin.
_SMALL = 80
#: The largest number of links that are drawn as lines; more links are drawn as pixels, to limit the size of the page.
_LINES = 8_000
#: The largest number of nodes that are drawn one by one; more are drawn as pixels.
_DOTS = 2_500


def network(run: RunFolder, places: NDArray[np.float64]) -> Picture | None:
    """Draw the network: nodes coloured by sensitivity, deleting clients ringed and named.

    Args:
        run: the run.
        places: [N, 2], the positions of the nodes.

    Returns:
        None if no release has a sensitivity.
    """
    chosen = subject(run)
    if chosen is None:
        return None
    graph, learning = run.network
    sensitivity = np.array(chosen[1].sensitivity)
    with style():
        drawn, axes = figure(5.4, 4.6)
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.margins(0.06)
        _links(axes, graph, places)
        _nodes(drawn, axes, places, sensitivity)
        for node in np.flatnonzero(learning.deleted).tolist():
            _mark(axes, places, node, str(graph.nodes[node].get("name", f"client {node}")))
        return Picture("network", drawn, tight=True)


def _links(axes: Axes, graph: nx.Graph, places: NDArray[np.float64]) -> None:
    """Draw all links as one line with gaps, which is much smaller than one SVG element for each link."""
    ends = places[np.array(list(graph.edges), dtype=np.int64).reshape(-1, 2)]
    gapped = np.concatenate([ends, np.full((len(ends), 1, 2), np.nan)], axis=1).reshape(-1, 2)
    many = len(ends) > _LINES
    fading = float(np.clip(6 / np.sqrt(len(ends) + 1), 0.04 if many else 0.1, 0.6))
    axes.plot(*gapped.T, color="#808890" if many else MUTED, linewidth=0.7, alpha=fading, zorder=1, rasterized=many)


def _nodes(drawn: Figure, axes: Axes, places: NDArray[np.float64], sensitivity: NDArray[np.float64]) -> None:
    """Draw the nodes coloured by sensitivity, nodes without sensitivity hollow, and the colour bar."""
    reached = sensitivity > 0
    norm, ticks = _scale(sensitivity[reached])
    size = float(np.clip(2600 / len(places), 20, 170))
    look: dict[str, Any] = {"s": size, "linewidths": 0.5 if len(places) > _SMALL else 1.0, "zorder": 2}
    look["rasterized"] = len(places) > _DOTS
    axes.scatter(*places[~reached].T, facecolors=PAGE, edgecolors=MUTED, **look)
    colours = _colours()
    axes.scatter(*places[reached].T, facecolors=colours(norm(sensitivity[reached])), edgecolors=PAGE, **look)
    bar = drawn.colorbar(ScalarMappable(norm, colours), ax=axes, shrink=0.55, aspect=18, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(float(f"{value:.3g}"))))
    bar.set_label("sensitivity")


def _scale(values: NDArray[np.float64]) -> tuple[LogNorm, list[float]]:
    """Return the colour scale of the sensitivities, and the ticks of its bar."""
    low, high = float(values.min()), float(values.max())
    if high <= low / (1 - EVEN):
        middle = float(np.sqrt(low * high))
        return LogNorm(middle / 2, middle * 2), [middle]
    decades = [m * 10.0**p for p in range(-18, 19) for m in ((1, 2, 5) if high / low < 50 else (1,))]
    ticks = [value for value in decades if low <= value <= high]
    ticks = ticks if len(ticks) >= 2 else [low, high]
    return LogNorm(low, high), ticks[:: -(-len(ticks) // 7)]


def _colours() -> Colormap:
    """Return viridis without its darkest and lightest ends, which are invisible in one theme of the page."""
    whole = matplotlib.colormaps["viridis"]
    return LinearSegmentedColormap.from_list("sensitivity", whole(np.linspace(0.14, 0.95, 64)))


def _mark(axes: Axes, places: NDArray[np.float64], node: int, name: str) -> None:
    """Ring a node and write its name beside it."""
    x, y = places[node]
    size = float(np.clip(2600 / len(places), 20, 170))
    axes.scatter([x], [y], s=size * 2.4 + 40, facecolors="none", edgecolors=INK, linewidths=1.8, zorder=4)
    outward = places[node] - places.mean(axis=0)
    side = 1 if outward[0] >= 0 else -1
    axes.annotate(
        short(name),
        (x, y),
        xytext=(side * (6 + np.sqrt(size)), 6 + np.sqrt(size)),
        textcoords="offset points",
        ha="left" if side > 0 else "right",
        fontweight="bold",
        zorder=5,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": PAGE, "edgecolor": "none", "alpha": 0.85},
    )
