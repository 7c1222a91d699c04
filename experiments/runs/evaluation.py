"""The samples that models are measured on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.metrics.membership import Suspects, class_weights
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

#: Design [m, q] and targets [m].
Samples = tuple[Tensor, Tensor]
#: Features [m, p] and labels [m].
Rows = tuple[NDArray[np.float32], NDArray[np.int64]]

#: Retained samples that accuracy is measured on, at most: a fixed draw from all of them.
_RETAIN_SAMPLES = 10_000
#: Members, and non-members, that membership attacks look at, at most.
_SUSPECTS = 1_000


@dataclass(frozen=True)
class Evaluation:
    """The samples that models are measured on once a request is answered.

    Attributes:
        sets: those of accuracy: design [m, q] and targets [m] for test, retain and forget.
        triggered: those of a backdoor's success: test images with the trigger and what it stands for, without and with
            those that are of the target class anyway; nothing where there is no backdoor.
        suspects: those of membership attacks; None where there are none, or too few.
    """

    sets: Mapping[str, Samples]
    triggered: Mapping[str, Samples]
    suspects: Suspects | None


def build_evaluation(network: NetworkSetup, request: int) -> Evaluation:
    """Choose the samples that models are measured on once a request is answered.

    Args:
        network: that is asked.
        request: the number of the request.

    Raises:
        ScenarioError: if the scenario asks for something to be measured for which there are no samples.
    """
    scenario, features, partition, labels = network.scenario, network.features, network.partition, network.labels
    like = torch.empty(0, dtype=network.dtype, device=device_of(scenario.backend.device))
    forget_set = network.arrivals[request].forget
    forgotten = np.concatenate([partition[node][positions] for node, positions in forget_set.items()])
    retained = np.setdiff1d(np.concatenate(partition), forgotten)
    if len(retained) > _RETAIN_SAMPLES:
        retained = np.sort(rng_at(scenario.seed, Stream.EVALUATION).choice(retained, _RETAIN_SAMPLES, replace=False))

    def ready(x: NDArray[np.float32], y: NDArray[np.int64]) -> Samples:
        design, targets = network.model.design(torch.from_numpy(x).to(like)), network.model.targets(y)
        return design, torch.from_numpy(targets).to(like.device)

    forget = features.x[forgotten], labels[forgotten]
    test, triggered = _test_rows(network)
    sets = {"test": ready(*test), "forget": ready(*forget)}
    if len(retained):
        sets["retain"] = ready(features.x[retained], labels[retained])
    chosen = None
    if scenario.measures.membership:
        chosen = _suspects(scenario.seed, forget, _non_members(network, test, triggered), request + 1)
    suspects = chosen and Suspects(*ready(*chosen[0]), *chosen[1:])
    return Evaluation(sets, {name: ready(*rows) for name, rows in triggered.items()}, suspects)


def _test_rows(network: NetworkSetup) -> tuple[Rows, Mapping[str, Rows]]:
    """Return the test rows, and those that a backdoor's success is measured on."""
    x, y, backdoor = network.features.test_x, network.test_labels, network.scenario.data.backdoor
    if backdoor is None:
        return (x, y), {}
    half = len(y) // 2
    target = np.full(half, backdoor.target)
    others = network.model.targets(y[:half]) != network.model.targets(target)
    if not others.any():
        raise ScenarioError("every test sample is of the backdoor's target class, so its success cannot be measured")
    stamped = {"without_target": (x[half:][others], target[others]), "with_target": (x[half:], target)}
    return (x[:half], y[:half]), stamped


def _non_members(network: NetworkSetup, test: Rows, triggered: Mapping[str, Rows]) -> Rows:
    """Return the rows that membership attacks are to tell the forget set from."""
    scenario = network.scenario
    if scenario.measures.negatives == "unseen-users":
        return _unseen_users(network)
    # Triggers are told from clean images at once, so what the poisoned are compared with carries the trigger too.
    poisoned = all(request.samples == "poisoned" for request in scenario.deletion.each)
    return triggered["without_target"] if poisoned else test


def _unseen_users(network: NetworkSetup) -> Rows:
    """Return the rows of natural clients that take no part."""
    rows = np.setdiff1d(np.arange(len(network.labels)), np.concatenate(network.partition))
    if network.scenario.partition.kind != "natural" or not len(rows):
        raise ScenarioError(
            "measures.negatives unseen-users takes natural clients that take no part: use partition natural, with "
            "fewer clients than the data have, or measures.negatives=test"
        )
    return network.features.x[rows], network.labels[rows]


def _suspects(
    seed: int, members: Rows, non_members: Rows, request: int
) -> tuple[Rows, NDArray[np.bool_], NDArray[np.float64]] | None:
    """Draw as many members and non-members as attacks need.

    Returns:
        Their rows, which of them are members, and their weights; None where there are fewer than two of either.
    """
    generator = rng_at(seed, Stream.EVALUATION, round=request)
    inside, outside = (_draw(rows, generator) for rows in (members, non_members))
    weights = class_weights(inside[1], outside[1])
    (x, y), (other_x, other_y) = (
        (rows[0][weight > 0], rows[1][weight > 0]) for rows, weight in zip((inside, outside), weights, strict=True)
    )
    if min(len(y), len(other_y)) < 2:
        return None
    member = np.arange(len(y) + len(other_y)) < len(y)
    positive = np.concatenate([weight[weight > 0] for weight in weights])
    return (np.concatenate([x, other_x]), np.concatenate([y, other_y])), member, positive


def _draw(rows: Rows, generator: np.random.Generator) -> Rows:
    x, y = rows
    if len(y) <= _SUSPECTS:
        return rows
    chosen = np.sort(generator.choice(len(y), _SUSPECTS, replace=False))
    return x[chosen], y[chosen]
