"""The secant method for many clients at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


#: How far beyond the product of the last two values the next one is thought to be.
_UNLIKE = 8.0


def root(
    excess: Callable[[Tensor], Tensor], start: Tensor, accuracy: Tensor, slope: Tensor, open_: Tensor
) -> tuple[Tensor, Tensor]:
    """Return s [b] with about |excess(s)| ≤ accuracy, by the secant method, and the number of evaluations [b].

    The caller checks what it gets: where the last step can hardly have missed, excess is not computed again.

    Args:
        excess: decreases in s; in units in which its second differences are about 1.
        start: where to begin.
        accuracy: [b].
        slope: [b], how fast it decreases at most.
        open_: [b], the clients that want it.
    """
    before, value = start, excess(start)
    s, evaluations = (start + value / slope).clamp(min=0.0), open_.to(torch.int64)
    for _ in range(20):
        now = excess(s)
        evaluations += open_
        fall = (value - now) / (s - before)
        falls = fall > 0
        step = torch.where(falls, now / fall, now / slope)
        open_ = open_ & (now.abs() > accuracy) & step.isfinite()
        there = torch.where(open_, (s + step).clamp(min=0.0), s)
        reached = falls & (_UNLIKE * (now * value).abs() <= accuracy)
        before, value, s = torch.where(open_, s, before), torch.where(open_, now, value), there
        open_ = open_ & ~reached
        if not open_.any():
            break
    return s, evaluations
