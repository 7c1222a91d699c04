"""The area under the ROC curve of every node's model, for tasks with two classes."""

import numpy as np
import scipy
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.training.parallel import each, split

#: Scores computed at a time, and scores ranked at a time.
_CHUNK, _RANKED = 1 << 22, 1 << 24


def area_under_curve(model: Model, theta: Tensor, design: Tensor, targets: Tensor) -> NDArray[np.float64] | None:
    """Return the share [b] of pairs of a sample of each class that each of b models ranks right, ties counting half.

    That is the area under the ROC curve (Hanley and McNeil, 1982). Samples are ranked by the log-odds of the second
    class.

    Args:
        model: the model.
        theta: [b, d].
        design: [m, q], m ≥ 1.
        targets: [m].

    Returns:
        The areas; None for a task with more than two classes, or samples of a single class.
    """
    positive = (targets > 0).cpu().numpy()
    if model.outputs > 2 or positive.all() or not positive.any():
        return None
    many, few = positive.sum(), (~positive).sum()
    result = np.empty(len(theta))
    for nodes in split(len(theta), max(1, _RANKED // len(design))):
        ranks = scipy.stats.rankdata(_log_odds(model, theta[nodes], design), axis=1)[:, positive]
        result[nodes] = (ranks.sum(axis=1) - many * (many + 1) / 2) / (many * few)
    return result


def _log_odds(model: Model, theta: Tensor, design: Tensor) -> NDArray[np.float64]:
    """Compute the log-odds [b, m] of the second class, up to a constant."""
    parts = split(len(design), max(1, _CHUNK // (len(theta) * max(1, theta.shape[1] // design.shape[1]))))
    odds = np.empty((len(theta), len(design)))

    def score(at: int) -> None:
        scores = model.scores(theta, design[parts[at]])
        odds[:, parts[at]] = (scores[..., -1] - (scores[..., 0] if model.outputs == 2 else 0.0)).cpu().numpy()

    each(score, range(len(parts)))
    return odds
