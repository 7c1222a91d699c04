"""Accuracy of every node's model."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clients.models import Model

#: Predictions computed at a time.
_CHUNK = 1 << 24


def accuracy(model: Model, theta: Tensor, design: Tensor, targets: Tensor) -> NDArray[np.float64]:
    """The share [b] of m samples that each of b models classifies right.

    Args:
        model: the model.
        theta: [b, d].
        design: [m, q], m ≥ 1.
        targets: [m].
    """
    right = torch.zeros(len(theta), dtype=torch.int64, device=theta.device)
    step = max(1, _CHUNK // (len(theta) * max(1, theta.shape[1] // design.shape[1])))
    for first in range(0, len(design), step):
        part = slice(first, first + step)
        right += (model.predict(theta, design[part]) == targets[part]).sum(dim=1)
    result: NDArray[np.float64] = right.cpu().numpy() / len(design)
    return result
