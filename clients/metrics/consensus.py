"""The consensus distance of models: how far they are, on average, from the average model."""

import torch
from torch import Tensor

#: Entries of models whose differences are held at once.
_AT_ONCE = 1 << 24


def consensus_distance(theta: Tensor, mean: Tensor) -> float:
    """Compute the mean over nodes of ‖θ_i − θ̄‖₂.

    Args:
        theta: [N, d], the models.
        mean: [1, d], their average.
    """
    parts = torch.split(theta, max(1, _AT_ONCE // max(1, theta.shape[1])))
    return float(torch.cat([(part - mean).norm(dim=1) for part in parts]).mean())
