"""Accuracy of every node's model."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.training.parallel import each, split

#: Predictions computed at a time.
_CHUNK = 1 << 22


def accuracy(model: Model, theta: Tensor, design: Tensor, targets: Tensor) -> NDArray[np.float64]:
    """Return the share [b] of m samples that each of b models classifies right.

    Args:
        model: the model.
        theta: [b, d].
        design: [m, q], m ≥ 1.
        targets: [m].
    """
    step = max(1, _CHUNK // (len(theta) * max(1, theta.shape[1] // design.shape[1])))
    parts = split(len(design), step)
    right = torch.zeros(len(parts), len(theta), dtype=torch.int64, device=theta.device)

    def count(at: int) -> None:
        right[at] = (model.predict(theta, design[parts[at]]) == targets[parts[at]]).sum(dim=1)

    each(count, range(len(parts)))
    result: NDArray[np.float64] = right.sum(dim=0).cpu().numpy() / len(design)
    return result
