"""Membership attacks: logistic regressions that tell from what a model makes of a sample whether it learned from it.

The classic attack reads a sample's loss or its scores (Shokri et al., 2017, "Membership inference attacks against
machine learning models"); with `shift`, it reads how far the posterior moved when the network unlearned, which takes an
attacker who knows the model from before (MIA-U, as in Mu and Klabjan, 2025, arXiv 2409.09778). The share of members
that are found at a small share of false alarms says more than the area under the curve (Carlini et al., 2022,
"Membership inference attacks from first principles").
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Vector = NDArray[np.float64]

#: The share of false alarms at which members are counted.
FALSE_ALARMS = 0.01

#: The tolerance of a regression, on the gradient of its objective.
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Suspects:
    """Members and non-members, class by class in the same proportions.

    Attributes:
        design: [n, q].
        targets: [n].
        member: [n], which of them have been learned from.
        weight: [n], sums to 1 over the members and to 1 over the others.
    """

    design: Tensor
    targets: Tensor
    member: NDArray[np.bool_]
    weight: Vector


@dataclass(frozen=True)
class Success:
    """How well an attack does, averaged over repetitions of the cross-validation.

    Attributes:
        auc: the area under the ROC curve; 0.5 is chance.
        accuracy: the mean of the shares of members and of non-members that are told right; 0.5 is chance.
        tpr_at_1_fpr: the share of members that are found where at most 1 % of the non-members are taken for one.
    """

    auc: float
    accuracy: float
    tpr_at_1_fpr: float


def class_weights(members: NDArray[np.int64], others: NDArray[np.int64]) -> tuple[Vector, Vector]:
    """Compute weights of members and of non-members with these labels, so that no class tells them apart.

    Members count alike, and non-members of a class together as much as its members. Members of a class that no
    non-member has are left out, with weight 0, and so are non-members of a class without members.

    Returns:
        weights that sum to 1 each; all 0 if no class has both.
    """
    both = np.intersect1d(members, others)
    counts = {label: (int((members == label).sum()), int((others == label).sum())) for label in both.tolist()}
    total = sum(of for of, _ in counts.values())
    inside = np.array([1.0 / total if label in counts else 0.0 for label in members.tolist()])
    outside = [counts[label][0] / counts[label][1] / total if label in counts else 0.0 for label in others.tolist()]
    return inside, np.array(outside)


def observations(model: Model, theta: Tensor, before: Tensor, suspects: Suspects) -> Mapping[str, Vector]:
    """Return what each attack reads of every suspect: [b, n, p] for b models.

    Args:
        model: the model.
        theta: [b, d], what is released.
        before: [b, d], the same models before unlearning.
        suspects: the samples.
    """
    design, n = suspects.design, len(suspects.design)
    losses = model.losses(
        theta, design.expand(len(theta), *design.shape), suspects.targets.expand(len(theta), n).contiguous()
    )
    scores = model.scores(theta, design)
    moved = posterior(scores) - posterior(model.scores(before, design))
    read = {"loss": losses.unsqueeze(2), "logits": scores, "mia_u": moved.norm(dim=2, keepdim=True)}
    return {name: of.double().cpu().numpy() for name, of in read.items()}


def posterior(scores: Tensor) -> Tensor:
    """Return the probabilities of the classes for scores [b, n, C]; of a single score, those of its two sides."""
    if scores.shape[2] > 1:
        return torch.softmax(scores, dim=2)
    return torch.cat([torch.sigmoid(-scores), torch.sigmoid(scores)], dim=2)


def attack(
    seen: Vector,
    member: NDArray[np.bool_],
    weight: Vector,
    folds: Sequence[NDArray[np.int64]],
) -> Success:
    """Attack by logistic regression on what is seen of every suspect, cross-validated.

    Suspects are judged by a regression that was fitted, with weights, to the other folds; the judgements of all folds
    make one ROC curve for each repetition. Where there is nothing to tell and members are few, this comes out below
    chance: what is odd about the members of one fold is missing from the others. Attacks on different models of the
    same suspects compare all the same, and retraining is what to compare with.

    Args:
        seen: [n, p].
        member: [n].
        weight: [n], as in `Suspects`.
        folds: for each repetition [n], the fold of each suspect; without any one of them, members and non-members
            with a weight are left.
    """
    spread = seen.std(axis=0)
    scaled = (seen - seen.mean(axis=0)) / np.where(spread > 1e-12 * np.abs(seen).max(initial=1e-300), spread, np.inf)
    repetitions = [success(_cross_validated(scaled, member, weight, fold_of), member, weight) for fold_of in folds]
    return Success(*np.mean([astuple(repetition) for repetition in repetitions], axis=0).tolist())


def split_in_folds(member: NDArray[np.bool_], folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a fold for each suspect [n]: members and non-members each dealt out evenly at random."""
    result = np.empty(len(member), dtype=np.int64)
    for side in (True, False):
        where = np.flatnonzero(member == side)
        result[generator.permutation(where)] = np.arange(len(where)) % folds
    return result


def fit(seen: Vector, member: NDArray[np.bool_], weight: Vector) -> "LogisticRegression":
    """Fit the logistic regression with ½‖w‖² and a free intercept.

    Args:
        seen: [n, p].
        member: [n].
        weight: [n], of every suspect in the regression; 0: it has no part in it.
    """
    # scikit-learn takes a second to be imported, and most commands attack nothing.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    used = weight > 0
    regression = LogisticRegression(C=1.0, solver="newton-cholesky", tol=_TOLERANCE)
    with warnings.catch_warnings():
        # Where its line search fails it goes on with another solver, and says so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return regression.fit(seen[used], member[used], sample_weight=weight[used])


def success(scores: Vector, member: NDArray[np.bool_], weight: Vector) -> Success:
    """Return how well scores tell members, which they take for members where they are above 0.

    Args:
        scores: [n].
        member: [n].
        weight: [n], as in `Suspects`.
    """
    from sklearn.metrics import auc, roc_curve

    false, true, _ = roc_curve(member, scores, sample_weight=weight, drop_intermediate=False)
    right = float((weight * ((scores > 0) == member) * (scores != 0)).sum() + (weight * (scores == 0)).sum() / 2)
    return Success(float(auc(false, true)), right / 2, float(true[false <= FALSE_ALARMS + 1e-12].max()))


def _cross_validated(scaled: Vector, member: NDArray[np.bool_], weight: Vector, fold_of: NDArray[np.int64]) -> Vector:
    """Return the log-odds [n] of membership, each by a regression that was fitted to the other folds."""
    scores = np.empty(len(scaled))
    for fold in range(int(fold_of.max()) + 1):
        held_out = fold_of == fold
        regression = fit(scaled, member, _balanced(weight * ~held_out, member))
        scores[held_out] = scaled[held_out] @ regression.coef_[0] + regression.intercept_[0]
    # Rounded, so that what is equal but for roundoff is a tie.
    return np.round(scores, 9)


def _balanced(weight: Vector, member: NDArray[np.bool_]) -> Vector:
    """Return weights [n] that come to half the number of suspects in use for members and for non-members alike."""
    used, result = np.count_nonzero(weight), np.zeros_like(weight)
    for side in (True, False):
        part = weight * (member == side)
        total = part.sum()
        if total > 0:
            result += part * used / 2 / total
    return result
