"""Settings of the linear models, and the bias as an additional feature within the norm."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.models.base import ModelError
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


def check_settings(l2: float, bias: float) -> None:
    """Refuse settings without a meaning.

    Raises:
        ModelError: if l2 is negative or the bias is outside [0, 1).
    """
    if not 0 <= l2 < float("inf"):
        raise ModelError(f"model.l2 must be a non-negative number, not {l2}")
    if not 0 <= bias < 1:
        raise ModelError(f"model.bias must lie in [0, 1), not {bias}")


def array_with_bias(x: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
    """Return features [n, p] as `with_bias` does, up to rounding."""
    return np.column_stack([x * sqrt(1 - bias**2), np.full(len(x), bias)]) if bias else x


def with_bias(x: Tensor, bias: float) -> Tensor:
    """Return features [n, p] as [√(1−β²)·x, β], of norm at most √((1−β²)R² + β²) where ‖x‖ ≤ R: still 1 for R = 1."""
    if bias == 0:
        return x
    # A few units of roundoff inside, so that rounding cannot carry the norm beyond the bound.
    inside = 1 - 8 * torch.finfo(x.dtype).eps
    constant = torch.full((len(x), 1), bias * inside, dtype=x.dtype, device=x.device)
    return torch.cat([x * (sqrt(1 - bias**2) * inside), constant], dim=1)
