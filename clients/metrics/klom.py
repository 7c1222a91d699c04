"""KLoM: how far the distribution of unlearned networks' margins is from that of retrained ones, point by point.

Georgiev, Rinberg, Park, Garg, Ilyas, Madry and Neel (2024), "Attribute-to-delete: machine unlearning via datamodel
matching", arXiv 2410.23232.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model

Vector = NDArray[np.float64]

#: Margins beyond are taken for this large.
_LARGEST = 100.0

#: The least probability of a bin that unlearned networks fall into.
_LEAST = 1e-5


def klom(unlearned: Vector, retrained: Vector, bins: int = 20) -> Vector:
    """Compute KL(unlearned ‖ retrained) of every point's margins, in nats, with margins in bins over their joint range.

    A bin without retrained networks counts as one with probability 1e-5, so that no point is further than log 1e5 =
    11.5, which is where distributions end up that do not meet. Samples of one and the same distribution come out above
    0 as well, by about (bins in use − 1)/2·(1/S + 1/S') as long as all bins are well filled.

    Args:
        unlearned: [S, n], of S networks at n points.
        retrained: [S', n].
        bins: of equal width, between the least and the largest margin of a point.

    Raises:
        ValueError: if there are no networks, other points, or less than 2 bins.
    """
    ours, oracle = (np.clip(of, -_LARGEST, _LARGEST) for of in (unlearned, retrained))
    if ours.ndim != 2 or oracle.ndim != 2 or ours.shape[1] != oracle.shape[1] or not len(ours) or not len(oracle):
        raise ValueError(f"margins are [S, n] for the same n points, not {unlearned.shape} and {retrained.shape}")
    if bins < 2:
        raise ValueError(f"margins are told apart by at least 2 bins, not {bins}")
    least = np.minimum(ours.min(axis=0), oracle.min(axis=0))
    width = np.maximum(ours.max(axis=0), oracle.max(axis=0)) - least
    p, q = (_shares(of, least, np.where(width > 0, width, 1.0), bins) for of in (ours, oracle))
    q = np.where(p > 0, np.maximum(q, _LEAST), q)
    q /= q.sum(axis=1, keepdims=True)
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    result: Vector = np.maximum((p * np.log(ratio)).sum(axis=1), 0.0)
    return result


def _shares(margins: Vector, least: Vector, width: Vector, bins: int) -> Vector:
    """Return the share of networks in each bin [n, bins]; the last bin holds the largest margin."""
    S, n = margins.shape
    place = np.minimum(((margins - least) / width * bins).astype(np.int64), bins - 1)
    counts = np.bincount((place + bins * np.arange(n)).ravel(), minlength=n * bins)
    shares: Vector = counts.reshape(n, bins) / S
    return shares


def margins(model: Model, theta: Tensor, design: Tensor, targets: Tensor) -> Tensor:
    """Return the log-odds [b, n] that b models give the targets [n] of samples with design [n, q]."""
    scores = model.scores(theta, design)
    if scores.shape[2] == 1:
        return scores[:, :, 0] * (2 * targets - 1)
    own = targets.expand(len(theta), -1).unsqueeze(2)
    others = scores.scatter(2, own, -torch.inf)
    return (scores.gather(2, own) - others.logsumexp(dim=2, keepdim=True)).squeeze(2)
