"""The curvature of what a network learns, before it has learned anything: what a forecast of the noise needs.

A study's tool: it reads every client's features at once.
"""

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Spectrum
from rewindnet.clients.training.client_block import ClientBlock


def second_moment(block: ClientBlock) -> NDArray[np.float64]:
    """Σ_k weight_k·x_k·x_kᵀ [q, q], averaged over the clients of a block, each counting the same."""
    size = block.buckets[0].x.shape[2]
    total = np.zeros((size, size))
    for bucket in block.buckets:
        for k in bucket.parts:
            x, weight = bucket.x[k].double().flatten(0, 1), bucket.weight[k].double().flatten()
            total += ((x * weight[:, None]).T @ x).cpu().numpy()
    return total / len(block.nodes)


def curvature(block: ClientBlock) -> Spectrum | None:
    """The spectrum of the clients' mean objective where learning starts; None if the model does not know it."""
    return block.model.curvature(second_moment(block))
