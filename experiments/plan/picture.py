"""Draw plans: the noise against depth and against the client, and several plans side by side."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter

from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS
from rewindnet.certificates.view import View
from rewindnet.experiments.plan.plan import Answer, Plan, epsilon_by_depth
from rewindnet.experiments.plan.rows import Row
from rewindnet.experiments.plan.table import noisy_label, noisy_rows
from rewindnet.experiments.plan.words import plan_name
from rewindnet.experiments.report.drawing import INK, MUTED, PAGE, SERIES, line_look, log_axis, style

#: The lines of the picture of depth: placement, view and label.
_LINES = (
    ("output", "node", "output, one model"),
    ("output", "joint", "output, all models"),
    ("output", "average", "output, the average"),
    ("rewind", "transcript:all", "rewind, all messages"),
)


def plan_picture(plan: Plan) -> bytes:
    """Draw σ against depth for the requesting client, and σ against distance for all clients.

    Returns:
        The picture as a PNG file.
    """
    several, noisy = len(plan.selection.clients) > 1, noisy_rows(plan)
    panels = 1 + several + bool(noisy)
    with style():
        drawn = Figure((0.8 + 4.8 * panels, 4.3), layout="constrained", facecolor=PAGE)
        axes = drawn.subplots(1, panels, squeeze=False)[0]
        _depth(axes[0], plan)
        if noisy:
            _epsilons(axes[1], plan, noisy)
        if several:
            _clients(drawn, axes[-1], plan)
        return _png(drawn)


def _epsilons(axes: Axes, plan: Plan, rows: Sequence[Row]) -> None:
    """Draw ε against rewind depth for the requesting client and the noise of each row that states it."""
    shares = np.array(plan.depths) / plan.network.training_run.rounds
    for at, row in enumerate(rows):
        values = epsilon_by_depth(plan, row)
        shown = np.isfinite(values) & (values > 0)
        dashes = (0, (4, 2)) if row.bound == "published" else "solid"
        look: dict[str, Any] = {"color": SERIES[at % len(SERIES)], "linestyle": dashes}
        axes.plot(shares[shown], values[shown], label=noisy_label(row), marker="o", markersize=2.5, **look)
    _log_if_wide(axes)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("rewind depth K/T")
    axes.set_ylabel("ε")
    axes.set_title(f"client {plan.network.client(int(plan.selection.clients[0]))}: ε against depth")
    axes.legend(loc="best")


def _depth(axes: Axes, plan: Plan) -> None:
    """Draw σ against rewind depth for the requesting client."""
    epsilon, delta = plan.target
    basis, T = plan.answers[0].row.basis, plan.network.training_run.rounds
    sigma, views = plan.sigma(basis, 0, epsilon, delta), plan.requirements[basis].views
    shares = np.array(plan.depths) / T
    for at, (placement, view, label) in enumerate(_LINES):
        for which, allocation in enumerate(ALLOCATIONS):
            if view == "average" and which:
                continue
            values = sigma[PLACEMENTS.index(placement), :, views.index(View.of(view)), which]
            shown = np.isfinite(values) & (values > 0)
            name = label if view == "average" else f"{label}, {allocation}"
            look: dict[str, Any] = {"color": SERIES[at], "linestyle": (0, (4, 2)) if which else "solid", "marker": "o"}
            axes.plot(shares[shown], values[shown], label=name, markersize=4 if shown.sum() < 3 else 2.5, **look)
    _log_if_wide(axes)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("rewind depth K/T")
    axes.set_ylabel(f"σ for ε = {epsilon:g}, δ = {delta:g}")
    bound = " (published bound)" if basis == "published" else ""
    axes.set_title(f"client {plan.network.client(int(plan.selection.clients[0]))}: noise against depth{bound}")
    axes.legend(loc="best")


def _log_if_wide(axes: Axes) -> None:
    """Make the axis logarithmic if the largest value is more than twice the smallest."""
    low, high = axes.dataLim.intervaly
    if 0 < low < high / 2 < np.inf:
        log_axis(axes)
        if high / low < 300:
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def _clients(drawn: Figure, axes: Axes, plan: Plan) -> None:
    """Draw the answer of the first row against the mean distance of each client, coloured by degree."""
    answer, facts = plan.answers[0], plan.facts
    value, what = _asked_quantity(answer)
    shown = np.isfinite(value) & (value > 0)
    dots = axes.scatter(
        facts.distance[shown], value[shown], c=facts.degree[shown], s=26, cmap="viridis", edgecolor=PAGE, linewidth=0.4
    )
    if shown[0]:
        axes.scatter(facts.distance[:1], value[:1], s=90, facecolor="none", edgecolor=INK, linewidth=1.2)
        axes.annotate("asks", (facts.distance[0], value[0]), (8, 6), textcoords="offset points", color=INK)
    _log_if_wide(axes)
    drawn.colorbar(dots, ax=axes, label="degree")
    axes.set_xlabel("links to the other clients, on average")
    axes.set_ylabel(what)
    axes.set_title(f"{int(shown.sum())} clients, row {answer.row.index}")


def _asked_quantity(answer: Answer) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], str]:
    """Return the quantity that a row asks for, [k], and its name."""
    row = answer.row
    if row.sigma is None:
        return answer.sigma, f"σ ({row.view}, {row.placement} {row.allocation})"
    if row.epsilon is None:
        return answer.epsilon, f"ε at σ = {row.sigma:g} ({row.view}, {row.placement} {row.allocation})"
    return answer.depth, f"rounds to rewind ({row.view}, {row.placement} {row.allocation})"


def comparison_picture(plans: Sequence[Plan], keys: Sequence[str]) -> bytes:
    """Draw, for each row, the range from the easiest to the hardest client, plan by plan.

    Returns:
        The picture as a PNG file.
    """
    rows = plans[0].answers
    with style():
        drawn = Figure((1.6 + 2.9 * len(rows), 1.6 + 0.42 * len(plans)), layout="constrained", facecolor=PAGE)
        panels = drawn.subplots(1, len(rows), squeeze=False, sharey=True)[0]
        for at, axes in enumerate(panels):
            _ranges(axes, [plan.answers[at] for plan in plans])
        panels[0].set_yticks(range(len(plans)), [plan_name(plan, keys) for plan in plans])
        panels[0].invert_yaxis()
        return _png(drawn)


def _ranges(axes: Axes, answers: Sequence[Answer]) -> None:
    """Draw the range, the median and the hardest client of each answer to one row."""
    for at, answer in enumerate(answers):
        value, what = _asked_quantity(answer)
        value = value[np.isfinite(value) & (value > 0)]
        if not len(value):
            continue
        axes.plot([value.min(), value.max()], [at, at], color=MUTED, linewidth=2, solid_capstyle="round")
        axes.plot([np.median(value)], [at], "o", **{**line_look(0), "linestyle": "none"}, markersize=6)
        axes.plot([value.max()], [at], "|", color=INK, markersize=10)
        axes.set_xlabel(what)
    low, high = axes.dataLim.intervalx
    if high > 30 * low > 0:
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, 1.08 * high if high > 0 else 1)
    axes.set_title(f"row {answers[0].row.index}: easiest, median, hardest")


def _png(drawn: Figure) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()
