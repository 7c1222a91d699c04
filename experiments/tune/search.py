"""Successive halving: try several points briefly, and the better half of them again with more draws.

Jamieson and Talwalkar (2016), "Non-stochastic best arm identification and hyperparameter optimization", with draws of
the noise in place of iterations.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from rewindnet.experiments.tune.space import Point
from rewindnet.experiments.tune.trial import Trial

#: The points of a bracket.
FIELD = 8


def search(
    own: Trial,
    points: Iterator[Point],
    plan: Callable[[Point], Trial],
    run: Callable[[Trial, int], Trial],
    goes_on: Callable[[], bool],
) -> None:
    """Try points in brackets of successive halving until the budget is spent or no points are left.

    Args:
        own: the scenario's own settings, which the first bracket begins with where they are worth a run.
        points: the points to try, in order.
        plan: plans a point; one with a reason is not run.
        run: runs a planned point with so many draws of the noise.
        goes_on: whether there is budget for another run.
    """
    first = [] if own.reason else [own]
    planned = (trial for trial in map(plan, (point for point in points if point != own.settings)) if not trial.reason)
    while goes_on():
        field = [*first, *islice(planned, FIELD - len(first))]
        first, draws = [], 1
        if not field:
            return
        while field and goes_on():
            field, draws = _better_half(field, draws, run, goes_on), 2 * draws


def _better_half(
    field: Sequence[Trial], draws: int, run: Callable[[Trial, int], Trial], goes_on: Callable[[], bool]
) -> list[Trial]:
    """Run all points, and return the better half of those that reach what is wanted; none of a single one."""
    done = []
    for trial in field:
        if not goes_on():
            return []
        done.append(run(trial, draws))
    reached = sorted((trial for trial in done if trial.reason is None), key=_accuracy, reverse=True)
    return reached[: len(field) // 2]


def _accuracy(trial: Trial) -> tuple[float, float]:
    """Return what trials are compared by: the accuracy of the lowest node, then the mean."""
    return (-1.0 if trial.lowest is None else trial.lowest, -1.0 if trial.mean is None else trial.mean)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the highest accuracy at the lowest node, among those with the most draws of the noise.

    Args:
        trials: all trials.

    Returns:
        None if no trial reaches what is wanted.
    """
    reached = [trial for trial in trials if trial.draws and trial.reason is None]
    most = max((trial.draws for trial in reached), default=0)
    return max((trial for trial in reached if trial.draws == most), key=_accuracy, default=None)
