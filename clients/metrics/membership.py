"""Membership attacks: was a sample learned from? Told from what a model makes of it, by logistic regression.

The classic attack reads a sample's loss or its scores (Shokri et al., 2017, "Membership inference attacks against
machine learning models"); with `shift`, it reads how far the posterior moved when the network unlearned, which takes an
attacker who knows the model from before (MIA-U, as in Mu and Klabjan, 2025, arXiv 2409.09778). The share of members
that are found at a small share of false alarms says more than the area under the curve (Carlini et al., 2022,
"Membership inference attacks from first principles").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rewindnet.clients.models import Model

Vector = NDArray[np.float64]

#: The share of false alarms at which members are counted.
FALSE_ALARMS = 0.01

_STEPS, _HALVINGS, _CLOSE = 50, 40, 1e-7


@dataclass(frozen=True)
class Suspects:
    """Members and non-members, class by class in the same proportions.

    Attributes:
        design: [n, q].
        targets: [n].
        member: [n], who has been learned from.
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
    """Weights of members and of non-members with these labels, so that no class says who is who.

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
    """What each attack reads of every suspect: [b, n, p] for b models.

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
    """The probabilities of the classes for scores [b, n, C]; of a single score, those of its two sides."""
    if scores.shape[2] > 1:
        return torch.softmax(scores, dim=2)
    return torch.cat([torch.sigmoid(-scores), torch.sigmoid(scores)], dim=2)


def attack(
    seen: Vector,
    member: NDArray[np.bool_],
    weight: Vector,
    folds: Sequence[NDArray[np.int64]],
) -> Success:
    """Logistic regression on what is seen of every suspect, cross-validated.

    Suspects are judged by a regression that was fitted, with weights, to the other folds; the judgements of all folds
    make one ROC curve for each repetition. Where there is nothing to tell and members are few, this comes out below
    chance: what is odd about the members of one fold is missing from the others. Attacks on different models of the
    same suspects compare all the same, and retraining is what to compare with.

    Args:
        seen: [n, p].
        member: [n].
        weight: [n], as in `Suspects`.
        folds: for each repetition [n], the fold of each suspect.
    """
    spread = seen.std(axis=0)
    scaled = (seen - seen.mean(axis=0)) / np.where(spread > 1e-12 * np.abs(seen).max(initial=1e-300), spread, np.inf)
    held = np.stack([of != fold for of in folds for fold in range(int(of.max()) + 1)])
    fitted = fit(scaled, member, _balanced(held * weight, member))
    judged, first = [], 0
    for of in folds:
        own = fitted[first + of]
        first += int(of.max()) + 1
        # Rounded, so that what is equal but for roundoff is a tie.
        judged.append(np.round((scaled * own[:, :-1]).sum(axis=1) + own[:, -1], 9))
    found = np.array([_success(scores, member, weight) for scores in judged])
    return Success(*found.mean(axis=0).tolist())


def split_in_folds(member: NDArray[np.bool_], folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """[n], a fold for each suspect: members and non-members each dealt out evenly at random."""
    result = np.empty(len(member), dtype=np.int64)
    for one in (True, False):
        where = np.flatnonzero(member == one)
        result[generator.permutation(where)] = np.arange(len(where)) % folds
    return result


def fit(seen: Vector, member: NDArray[np.bool_], weight: Vector) -> Vector:
    """Logistic regressions with ½‖w‖² and a free intercept, by Newton's method: [F, p + 1], the intercept last.

    Args:
        seen: [n, p].
        member: [n].
        weight: [F, n], of every suspect in each regression.
    """
    # By torch, on one thread: products this small are slower shared among the threads that numpy would start.
    points = torch.from_numpy(np.column_stack([seen, np.ones(len(seen))]))
    weights, sign = torch.from_numpy(weight), torch.from_numpy(np.where(member, 1.0, -1.0))
    inputs = points.shape[1]
    pairs = (points.unsqueeze(2) * points.unsqueeze(1)).flatten(1)
    # The intercept is all but free: held just enough for the system to have a solution.
    ridge = torch.tensor([1.0] * (inputs - 1) + [1e-9], dtype=points.dtype)

    def objective(w: Tensor) -> Tensor:
        misfit = functional.softplus(-sign * (w @ points.T), threshold=40)
        return (weights * misfit).sum(dim=1) + (ridge * w**2).sum(dim=1) / 2

    w = points.new_zeros(len(weights), inputs)
    value = objective(w)
    for _ in range(_STEPS):
        likely = torch.sigmoid(w @ points.T)
        gradient = (weights * (likely - (sign > 0).double())) @ points + ridge * w
        curvature = ((weights * likely * (1 - likely)) @ pairs).view(-1, inputs, inputs) + torch.diag(ridge)
        step = torch.linalg.solve(curvature, gradient)
        for _ in range(_HALVINGS):
            moved = objective(w - step)
            worse = moved > value + 1e-13 * value.abs()
            if not worse.any():
                break
            step[worse] /= 2
        w, value = w - step, moved
        if step.abs().max() < _CLOSE:
            break
    result: Vector = w.numpy()
    return result


def roc(scores: Vector, member: NDArray[np.bool_], weight: Vector) -> tuple[Vector, Vector]:
    """The shares of non-members and of members with a score of at least t, for every t, decreasing; from (0, 0).

    Args:
        scores: [n].
        member: [n].
        weight: [n], as in `Suspects`.
    """
    values, place = np.unique(-scores, return_inverse=True)
    false, true = (
        np.bincount(place, weights=weight * (member == one), minlength=len(values)).cumsum() for one in (False, True)
    )
    return np.append(0.0, false), np.append(0.0, true)


def _success(scores: Vector, member: NDArray[np.bool_], weight: Vector) -> tuple[float, float, float]:
    false, true = roc(scores, member, weight)
    right = float((weight * ((scores > 0) == member) * (scores != 0)).sum() + (weight * (scores == 0)).sum() / 2)
    found = float(true[false <= FALSE_ALARMS + 1e-12].max())
    return float(np.trapezoid(true, false)), right / 2, found


def _balanced(weight: Vector, member: NDArray[np.bool_]) -> Vector:
    """Weights [F, n] that come to half the number of suspects in use for members and for non-members alike."""
    used = (weight > 0).sum(axis=1, keepdims=True)
    result = np.zeros_like(weight)
    for one in (True, False):
        part = weight * (member == one)
        total = part.sum(axis=1, keepdims=True)
        result += np.divide(part * used / 2, total, out=np.zeros_like(part), where=total > 0)
    return result
