"""The samples that models are measured on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.data import Dataset
from rewindnet.clients.data.deletion import Arrival
from rewindnet.clients.data.features import Features
from rewindnet.clients.metrics.membership import Suspects, class_weights
from rewindnet.clients.models import Model
from rewindnet.experiments.scenario.devices import DTYPES, device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

#: Design [m, q] and targets [m].
Samples = tuple[Tensor, Tensor]


#: Retained samples that accuracy is measured on, at most: a fixed draw from all of them.
_RETAIN_SAMPLES = 10_000


#: Members, and non-members, that membership attacks look at, at most.
_SUSPECTS = 1_000


@dataclass(frozen=True)
class Evaluation:
    """The samples that models are measured on.

    Attributes:
        sets: those of accuracy: design [m, q] and targets [m] for test, retain and forget.
        triggered: those of a backdoor's success: test images with the trigger and what it stands for, without and with
            those that are of the target class anyway; nothing where there is no backdoor.
        suspects: those of membership attacks; None where there are none, or too few.
    """

    sets: Mapping[str, Samples]
    triggered: Mapping[str, Samples]
    suspects: Suspects | None


def build_evaluation(
    scenario: Scenario,
    features: Features,
    dataset: Dataset,
    model: Model,
    shards: list[NDArray[np.int64]],
    arrived: Sequence[Arrival],
) -> Evaluation:
    """What is measured once the last of these requests is answered."""
    like = torch.empty(0, dtype=DTYPES[scenario.backend.dtype], device=device_of(scenario.backend.device))
    forgotten = np.concatenate([shards[node][gone] for node, gone in arrived[-1].forget.items()])
    retained = np.setdiff1d(np.concatenate(shards), forgotten)
    if len(retained) > _RETAIN_SAMPLES:
        retained = np.sort(rng_at(scenario.seed, Stream.EVALUATION).choice(retained, _RETAIN_SAMPLES, replace=False))

    def ready(x: NDArray[np.float32], y: NDArray[np.int64]) -> Samples:
        return model.design(torch.from_numpy(x).to(like)), torch.from_numpy(model.targets(y)).to(like.device)

    forget = features.x[forgotten], dataset.y[forgotten]
    test, stamped = _tested(scenario, features, dataset, model)
    sets = {"test": ready(*test), "forget": ready(*forget)}
    if len(retained):
        sets["retain"] = ready(features.x[retained], dataset.y[retained])
    triggered = {name: ready(*of) for name, of in stamped.items()}
    # Triggers are told from clean images at once, so what the poisoned are compared with carries the trigger too.
    poisoned = all(request.samples == "poisoned" for request in scenario.deletion.each)
    unseen = stamped["without_target"] if poisoned else test
    chosen = None
    if scenario.measures.membership:
        if scenario.measures.negatives == "unseen-users":
            unseen = _unseen_users(scenario, features, dataset, shards)
        chosen = _suspects(scenario, forget, unseen, len(arrived))
    suspects = chosen and Suspects(*ready(*chosen[0]), *chosen[1:])
    return Evaluation(sets, triggered, suspects)


Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def _tested(scenario: Scenario, features: Features, dataset: Dataset, model: Model) -> tuple[Rows, Mapping[str, Rows]]:
    """Test samples, and those of a backdoor's success."""
    x, y = features.test_x, dataset.test_y
    if scenario.data.backdoor is None:
        return (x, y), {}
    half = len(y) // 2
    target = np.full(half, scenario.data.backdoor.target)
    others = model.targets(y[:half]) != model.targets(target)
    if not others.any():
        raise ScenarioError("every test sample is of the backdoor's target class, so its success cannot be measured")
    stamped = {"without_target": (x[half:][others], target[others]), "with_target": (x[half:], target)}
    return (x[:half], y[:half]), stamped


def _unseen_users(scenario: Scenario, features: Features, dataset: Dataset, shards: list[NDArray[np.int64]]) -> Rows:
    """The samples of natural clients that take no part."""
    rows = np.setdiff1d(np.arange(len(dataset.y)), np.concatenate(shards))
    if scenario.partition.kind != "natural" or not len(rows):
        raise ScenarioError(
            "measures.negatives unseen-users takes natural clients that take no part: use partition natural, with "
            "fewer clients than the data have, or measures.negatives=test"
        )
    return features.x[rows], dataset.y[rows]


def _suspects(
    scenario: Scenario, forget: Rows, unseen: Rows, request: int
) -> tuple[Rows, NDArray[np.bool_], NDArray[np.float64]] | None:
    """Members and non-members, who is which, and their weights; at most so many of each as attacks need."""
    generator = rng_at(scenario.seed, Stream.EVALUATION, round=request)
    inside, outside = (_some(of, generator) for of in (forget, unseen))
    weights = class_weights(inside[1], outside[1])
    (x, y), (other_x, other_y) = (
        (of[0][weight > 0], of[1][weight > 0]) for of, weight in zip((inside, outside), weights, strict=True)
    )
    if min(len(y), len(other_y)) < 2:
        return None
    member = np.arange(len(y) + len(other_y)) < len(y)
    weight = np.concatenate([of[of > 0] for of in weights])
    return (np.concatenate([x, other_x]), np.concatenate([y, other_y])), member, weight


def _some(rows: Rows, generator: np.random.Generator) -> Rows:
    x, y = rows
    if len(y) <= _SUSPECTS:
        return rows
    chosen = np.sort(generator.choice(len(y), _SUSPECTS, replace=False))
    return x[chosen], y[chosen]
