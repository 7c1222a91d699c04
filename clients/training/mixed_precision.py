"""Mixed precision: products and convolutions of local steps in another type than parameters and sums."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

from rewindnet.late import torch

if TYPE_CHECKING:
    from rewindnet.clients.models.deep.torch_model import TorchModel

#: The type of the products; None: that of the parameters.
MixedPrecision = Literal["bfloat16"] | None

#: Why no bound is proven of learning with it, as the part of a sentence after a colon.
UNCOVERED = (
    "local steps were computed in mixed precision (backend.mixed_precision), and nothing here bounds the rounding of "
    "its products"
)


def products_in(precision: MixedPrecision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which local steps are computed; each thread enters one of its own.

    Args:
        precision: the type of the products.
        device: the device to compute on.
    """
    if precision is None:
        return nullcontext()
    # A module is given the parameters of one client after another, and torch would keep the rounded ones of the first.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def problem_with(model: TorchModel, device: torch.device) -> str:
    """Return why a model cannot take a local step in mixed precision, by taking one; empty if it can.

    Args:
        model: the model.
        device: the device to compute on.
    """
    x = torch.zeros(1, 1, prod(model.shape), device=device)
    y, weight = torch.zeros(1, 1, dtype=torch.int64, device=device), torch.ones(1, 1, device=device)
    theta = torch.from_numpy(model.initial(np.random.default_rng(0))).to(x)[None]
    try:
        with products_in("bfloat16", device):
            model.descend(theta, x, y, weight, 1.0)
    except RuntimeError as problem:
        return str(problem).partition("\n")[0]
    return ""
