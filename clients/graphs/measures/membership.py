"""Membership by confidence: whether a model is surer of what it has learned from."""

import numpy as np
import scipy
from numpy.typing import NDArray
from torch import Tensor


def confidence_auc(confidence: Tensor, members: Tensor, others: Tensor) -> float | None:
    """Return the share of pairs of member and non-member in which the model is surer of the member; ties count half.

    The area under the ROC curve of the attack that takes the surer node for a member. An attack by the loss has the
    same area, because the loss falls with confidence.

    Args:
        confidence: of each node's own label, [n].
        members: bool [n].
        others: bool [n].

    Returns:
        The area; None if there are no members or no others.
    """
    inside, outside = confidence[members].numpy(), confidence[others].numpy()
    if not len(inside) or not len(outside):
        return None
    return float(_wins(inside, outside).mean())


def matched_auc(confidence: Tensor, y: Tensor, members: Tensor, others: Tensor) -> float | None:
    """Return the same with each member compared to the non-members of its own label alone; members count alike.

    Args:
        confidence: of each node's own label, [n].
        y: labels [n].
        members: bool [n].
        others: bool [n].

    Returns:
        The mean over members whose label some non-member has; None if there are none.
    """
    won: list[NDArray[np.float64]] = []
    for label in set(y[members].tolist()):
        inside, outside = confidence[members & (y == label)].numpy(), confidence[others & (y == label)].numpy()
        if len(outside):
            won.append(_wins(inside, outside))
    return float(np.concatenate(won).mean()) if won else None


def _wins(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return of each value the share of others that are below it, ties counting half."""
    ranks = scipy.stats.rankdata(np.concatenate([inside, outside]))[: len(inside)]
    among = scipy.stats.rankdata(inside)
    share: NDArray[np.float64] = (ranks - among) / len(outside)
    return share
