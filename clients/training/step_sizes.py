"""Schedules of the step size: public factors of η, round by round.

A schedule depends on nothing but its settings and the number of rounds, so that learning and retraining have the same
step sizes, and bounds take each round with its own. Rounds after the last of learning take the step size of the last.
"""

from collections.abc import Callable
from math import cos, pi

from rewindnet.errors import UserError
from rewindnet.registry import Registry


class StepSizeError(UserError):
    """A setting of the schedule of the step size is not valid; the message says what is allowed."""


def constant(rounds: int, *, warm_up: int = 0) -> tuple[float, ...]:
    """Keep the step size in every round.

    Args:
        rounds: T.
        warm_up: in how many rounds it rises to its size, by equal amounts.

    Raises:
        StepSizeError: if that is not a number of rounds.
    """
    return _warmed([1.0] * rounds, warm_up)


def step(rounds: int, *, every: int = 50, factor: float = 0.1, warm_up: int = 0) -> tuple[float, ...]:
    """Multiply the step size by a factor every so many rounds, as `torch.optim.lr_scheduler.StepLR` does.

    Args:
        rounds: T.
        every: after how many rounds.
        factor: the factor, above 0.
        warm_up: in how many rounds it rises to its size, by equal amounts.

    Raises:
        StepSizeError: if a setting is out of range.
    """
    if every < 1 or not 0 < factor < float("inf"):
        raise StepSizeError(
            f"learning.step_sizes step takes every ≥ 1 rounds and a factor above 0, not {every} and {factor}"
        )
    return _warmed([factor ** (t // every) for t in range(rounds)], warm_up)


def cosine(rounds: int, *, final: float = 0.0, warm_up: int = 0) -> tuple[float, ...]:
    """Lower the step size along half a cosine, as `torch.optim.lr_scheduler.CosineAnnealingLR` does over all rounds.

    Args:
        rounds: T.
        final: the share of η that it goes down to, in [0, 1].
        warm_up: in how many rounds it rises to its size, by equal amounts.

    Raises:
        StepSizeError: if a setting is out of range.
    """
    _check_share(final)
    return _warmed([final + (1 - final) * (1 + cos(pi * t / rounds)) / 2 for t in range(rounds)], warm_up)


def linear(rounds: int, *, final: float = 0.0, warm_up: int = 0) -> tuple[float, ...]:
    """Lower the step size by equal amounts.

    Args:
        rounds: T.
        final: the share of η that it goes down to after the last round, in [0, 1].
        warm_up: in how many rounds it rises to its size, by equal amounts.

    Raises:
        StepSizeError: if a setting is out of range.
    """
    _check_share(final)
    return _warmed([1 - (1 - final) * t / rounds for t in range(rounds)], warm_up)


def _check_share(final: float) -> None:
    if not 0 <= final <= 1:
        raise StepSizeError(f"learning.step_sizes.final is a share of the step size, in [0, 1], not {final}")


def _warmed(factors: list[float], warm_up: int) -> tuple[float, ...]:
    """Return the factors of all rounds after a warm-up; none where every round keeps the step size."""
    if warm_up < 0:
        raise StepSizeError(f"learning.step_sizes.warm_up is a number of rounds, not {warm_up}")
    result = tuple(factor * min(1.0, (t + 1) / max(1, warm_up)) for t, factor in enumerate(factors))
    return () if all(factor == 1.0 for factor in result) else result


#: Called as `schedule(rounds, *, settings)`; returns the factor of each round, or nothing where all are 1.
STEP_SIZES: Registry[Callable[..., tuple[float, ...]]] = Registry(
    "schedule of the step size",
    {"constant": constant, "step": step, "cosine": cosine, "linear": linear},
    StepSizeError,
)
