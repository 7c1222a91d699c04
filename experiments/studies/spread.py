"""Means over seeds, each with the interval that holds the mean of all seeds at 95 % confidence."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from scipy.stats import t as student

from rewindnet.certificates.digits import rounded_up

#: The confidence of an interval.
CONFIDENCE = 0.95
#: The share of a mean below which a width is that of floating-point numbers.
_ROUNDING = 1e-9


class Spread(NamedTuple):
    """Several values of one quantity.

    Attributes:
        mean: their mean.
        half_width: half of the width of the t-interval around it; None for a single value.
        seeds: how many there are.
    """

    mean: float
    half_width: float | None
    seeds: int

    def __str__(self) -> str:
        if self.half_width is None:
            return number(self.mean)
        if self.half_width <= _ROUNDING * abs(self.mean):
            return f"{number(self.mean)} ± 0"
        # The mean has as many decimals as two digits of the width take, and three digits at least.
        width = f"{self.half_width:.2g}"
        if "e" in width + number(self.mean):
            return f"{number(self.mean)} ± {width}"
        decimals = max(len(text.partition(".")[2]) for text in (width, number(self.mean)))
        return f"{self.mean:.{decimals}f} ± {width}"


def spread(values: Sequence[float]) -> Spread:
    """Return the mean of values and its 95 % t-interval, t(0.975, n − 1)·s/√n to both sides.

    Args:
        values: independent values of one quantity, at least one.
    """
    count = len(values)
    if count < 2:
        return Spread(fmean(values), None, count)
    factor = float(student.ppf((1 + CONFIDENCE) / 2, count - 1))
    return Spread(fmean(values), factor * stdev(values) / sqrt(count), count)


def certified_text(values: Spread) -> str:
    """Return a certified ε as text: a single one, or several that are alike, rounded up; else a mean as any other."""
    if values.half_width is None:
        return _certified(values.mean)
    return f"{_certified(values.mean)} ± 0" if values.half_width <= _ROUNDING * abs(values.mean) else str(values)


def _certified(value: float) -> str:
    return number(value) if value.is_integer() else rounded_up(value)


def number(value: float) -> str:
    """Format a number with three digits; whole numbers with all of theirs."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.3g}"
