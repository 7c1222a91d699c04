"""Pictures of the concepts, drawn from what the program computes when the site is built."""

from collections.abc import Callable
from html import escape

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

import rewindnet
from reference_pages.inline_svg import inline
from rewindnet.certificates import Claim, Constant, Release, TrainingRun, calibrate, derive, propagate
from rewindnet.certificates.accounting.gaussian import mu_of
from rewindnet.certificates.claim import Bound
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cone
from rewindnet.experiments.report.drawing import ALARM, GRID, INK, MUTED, PAGE, SERIES, line_look, log_axis, style
from rewindnet.topologies import Static

#: The network of the pictures: a grid of so many rows and columns, the node that deletes, and one that is observed.
_SIDE, _DELETING, _OBSERVER = 5, 6, 22
_NODES = _SIDE**2
_ROUNDS = 60


def influence() -> str:
    """Draw by how much the models of the nodes can differ after 1, 3 and 8 rounds, with and without the data."""
    training = _training()
    shades = [propagate(training, disturbed=rounds, undisturbed=0, bound="worst-case").total for rounds in (1, 3, 8)]
    largest = max(float(shade.max()) for shade in shades)
    with style():
        drawn, panels = _panels(3)
        for axes, rounds, shade in zip(panels, (1, 3, 8), shades, strict=True):
            _network(axes, f"after {rounds} round{'s' * (rounds > 1)}", shade / largest)
        return _framed(
            inline(drawn, "influence", "A network in three states; more and more nodes are coloured", tight=True),
            "By how much the model of a node can differ from what it would be without the deleted data: the darker, "
            "the more. The ringed node deletes. Hollow nodes have computed the same bits as without the data.",
        )


def views() -> str:
    """Draw what four observers see of one unlearning."""
    training = _training()
    cone = light_cone(_OBSERVER, _ROUNDS - 2, 2, training.mixing)
    one = np.arange(_NODES) == _OBSERVER
    everything = np.ones(_NODES, dtype=bool)
    panels_of = (
        (f"node:{_OBSERVER}", one, np.zeros(_NODES, dtype=bool)),
        ("joint", everything, np.zeros(_NODES, dtype=bool)),
        (f"transcript:{_OBSERVER}", one, cone),
        ("transcript:all", everything, everything),
    )
    with style():
        drawn, panels = _panels(4)
        for axes, (title, released, reached) in zip(panels, panels_of, strict=True):
            _seen(axes, title, released, reached)
        return _framed(
            inline(drawn, "views", "The same network four times; marked is what each observer sees", tight=True),
            "Filled nodes: the observer sees their released models. Thick links: the observer sees messages that "
            f"depend on what travels over them. In a descent of two rounds, node {_OBSERVER} receives nothing from "
            "nodes that are more than two links away.",
        )


def depth() -> str:
    """Draw the noise for ε = 1 against the rewind depth, by two bounds and for two views."""
    training, depths = _training(), np.arange(3, _ROUNDS + 1, 3)
    lines: tuple[tuple[str, Bound, str], ...] = (
        ("worst-case, one released model", "worst-case", "node"),
        ("worst-case, all released models", "worst-case", "joint"),
        ("published, one released model", "published", "node"),
    )
    with style():
        drawn = Figure((6.4, 3.2), layout="constrained")
        drawn.patch.set_visible(False)
        axes = drawn.add_subplot()
        axes.patch.set_visible(False)
        for at, (label, bound, view) in enumerate(lines):
            sigma = [_sigma(training, int(K), bound, view) for K in depths]
            axes.plot(100 * depths / _ROUNDS, sigma, label=label, **line_look(at))
        log_axis(axes)
        axes.set_xlabel("rounds that are rewound, in % of the training")
        axes.set_ylabel("σ for ε = 1")
        axes.legend()
        return _framed(
            inline(drawn, "depth", "Noise against rewind depth: three falling lines"),
            "The noise that ε = 1 takes, for one client that deletes 5 of its 100 samples. Rewinding further costs "
            "more gradients and takes less noise; rewinding everything is retraining, and takes none. The published "
            "bound is for losses that need not be convex, and knows no topology.",
        )


def guessing() -> str:
    """Draw how often a test may recognise an unlearned model, against how often it errs, for four ε."""
    errors = np.linspace(0, 1, 201)[1:-1]
    with style():
        drawn = Figure((6.4, 3.4), layout="constrained")
        drawn.patch.set_visible(False)
        axes = drawn.add_subplot()
        axes.patch.set_visible(False)
        for at, epsilon in enumerate((0.5, 1.0, 2.0, 4.0)):
            found = norm.cdf(norm.ppf(errors) + mu_of(epsilon, 1e-5))
            axes.plot(100 * errors, 100 * found, label=f"ε = {epsilon:g}", **line_look(at))
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, label="a blind guess")
        axes.set_xlabel("retrained models taken for unlearned ones, in %")
        axes.set_ylabel("unlearned models recognised, in %")
        axes.legend()
        return _framed(
            inline(drawn, "guessing", "Curves above the diagonal: the larger ε, the further above"),
            "The best that any test can do, with one Gaussian vector as noise and δ = 10⁻⁵. The closer to the "
            "diagonal, the less an observer learns.",
        )


def _training() -> TrainingRun:
    """Return what is public of a training of the network: logistic regression, 100 samples at each node."""
    graph = rewindnet.build("grid", _NODES, seed=0)
    return TrainingRun(
        mixing=Static(graph, rewindnet.mixing_matrix("metropolis-hastings", graph)),
        rounds=_ROUNDS,
        step_size=0.5,
        local_steps=1,
        order="adapt-then-combine",
        constants=derive("logistic", Constant(1.0, "proven"), l2=1e-3),
        samples=np.full(_NODES, 100),
        deleted=np.where(np.arange(_NODES) == _DELETING, 5, 0),
    )


def _sigma(training: TrainingRun, rewound: int, bound: Bound, view: str) -> float:
    """Return the largest noise of a node for ε = 1 after a rewind."""
    release = Release("r2d", _ROUNDS - rewound, rewound, "output", np.zeros(_NODES))
    if rewound == _ROUNDS:
        return float("nan")
    return float(calibrate(training, release, Claim(View.of(view), delta=1e-5, bound=bound), epsilon=1.0).max())


def _graph() -> tuple[nx.Graph, NDArray[np.float64]]:
    """Return the network of the pictures, and the places [N, 2] of its nodes."""
    graph = rewindnet.build("grid", _NODES, seed=0)
    return graph, np.array([divmod(node, _SIDE) for node in range(_NODES)], dtype=np.float64)[:, ::-1]


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels for networks, two beside each other so that they can be read on a phone."""
    columns = 2 if count == 4 else 3
    drawn = Figure((2.5 * columns, 2.6 * (count // columns)), layout="constrained")
    drawn.patch.set_visible(False)
    panels = [drawn.add_subplot(count // columns, columns, at + 1) for at in range(count)]
    for axes in panels:
        axes.patch.set_visible(False)
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.margins(0.12)
    return drawn, panels


def _network(axes: Axes, title: str, shade: NDArray[np.float64]) -> None:
    """Draw the network with each node as dark as its value in [0, 1]; nodes of value 0 are hollow."""
    graph, places = _graph()
    x, y = places.T
    for i, j in graph.edges:
        axes.plot(*places[[i, j]].T, color=MUTED, linewidth=0.8, zorder=1)
    axes.scatter(x, y, s=150, facecolors=PAGE, edgecolors=MUTED, zorder=2)
    for node in np.flatnonzero(shade):
        strength = 0.15 + 0.85 * float(shade[node]) ** 0.4
        axes.scatter(x[node], y[node], s=150, facecolors=SERIES[0], alpha=strength, linewidths=0, zorder=3)
    axes.scatter(x[_DELETING], y[_DELETING], s=300, facecolors="none", edgecolors=ALARM, linewidths=1.8, zorder=4)
    axes.set_title(title, loc="center")


def _seen(axes: Axes, title: str, released: NDArray[np.bool_], reached: NDArray[np.bool_]) -> None:
    """Draw the network with the nodes whose models an observer sees, and the links whose messages reach it."""
    graph, places = _graph()
    x, y = places.T
    for i, j in graph.edges:
        seen = bool(reached[i] and reached[j])
        color, width = (SERIES[1], 3.0) if seen else (MUTED, 0.8)
        axes.plot(*places[[i, j]].T, color=color, linewidth=width, zorder=1)
    axes.scatter(x[~released], y[~released], s=150, facecolors=PAGE, edgecolors=MUTED, zorder=2)
    axes.scatter(x[released], y[released], s=150, facecolors=SERIES[0], edgecolors=GRID, zorder=3)
    axes.scatter(x[_DELETING], y[_DELETING], s=300, facecolors="none", edgecolors=ALARM, linewidths=1.8, zorder=4)
    axes.annotate(str(_OBSERVER), places[_OBSERVER], ha="center", va="center", color=INK, zorder=5, fontsize=8)
    axes.set_title(title, loc="center")


def _framed(picture: str, caption: str) -> str:
    """Return a picture with its caption, as HTML that Markdown leaves alone."""
    return f'<figure class="picture">{picture}<figcaption>{escape(caption)}</figcaption></figure>'


#: What `{picture:NAME}` on a page stands for.
PICTURES: dict[str, Callable[[], str]] = {
    "influence": influence,
    "views": views,
    "depth": depth,
    "guessing": guessing,
}
