"""Select the samples on which the models of a run are measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.metrics.concepts import ConceptSets
from rewindnet.clients.metrics.membership import Suspects, class_weights
from rewindnet.experiments.runs.concepts import concept_sets
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

#: Design [m, q] and targets [m].
Samples = tuple[Tensor, Tensor]
#: Features [m, p] and labels [m].
Rows = tuple[NDArray[np.float32], NDArray[np.int64]]

#: The largest number of retained samples for accuracy; a larger retained set is subsampled once.
_RETAIN_SAMPLES = 10_000
#: The largest number of members, and of non-members, for membership attacks.
_SUSPECTS = 1_000


@dataclass(frozen=True)
class Evaluation:
    """The samples on which the releases for one request are measured.

    Attributes:
        sets: for accuracy: the design [m, q] and the targets [m] of the sets test, retain and forget.
        triggered: for the success of a backdoor: test images with the trigger, and its target class as their targets,
            without and with images of the target class; empty without a backdoor.
        suspects: for membership attacks; None without attacks, or with fewer than two members or non-members.
        in_templates: the test prompts in templates, for what is left of their answers; empty of other data.
        concepts: the questions about a person whose images are deleted; None of other data.
    """

    sets: Mapping[str, Samples]
    triggered: Mapping[str, Samples]
    suspects: Suspects | None
    in_templates: Mapping[str, Samples] = field(default_factory=dict)
    concepts: ConceptSets | None = None


def build_evaluation(network: NetworkSetup, request: int) -> Evaluation:
    """Select the samples on which the releases for a request are measured.

    Args:
        network: the network of the scenario.
        request: the number of the request.

    Raises:
        ScenarioError: if there are no samples for a measure that the scenario asks for.
    """
    scenario, features, partition, labels = network.scenario, network.features, network.partition, network.labels
    like = torch.empty(0, dtype=network.dtype, device=device_of(scenario.backend.device))
    forget_set = network.arrivals[request].forget
    forgotten = np.concatenate([partition[node][positions] for node, positions in forget_set.items()])
    retained = np.setdiff1d(np.concatenate(partition), forgotten)
    if len(retained) > _RETAIN_SAMPLES:
        retained = np.sort(rng_at(scenario.seed, Stream.EVALUATION).choice(retained, _RETAIN_SAMPLES, replace=False))

    def tensors(x: NDArray[np.float32], y: NDArray[np.int64]) -> Samples:
        design, targets = network.model.design(torch.from_numpy(x).to(like)), network.model.targets(y)
        return design, torch.from_numpy(targets).to(like.device)

    forget = features.x[forgotten], labels[forgotten]
    test, triggered = _test_rows(network)
    sets = {"test": tensors(*test), "forget": tensors(*forget)}
    if len(retained):
        sets["retain"] = tensors(features.x[retained], labels[retained])
    drawn = None
    if scenario.measures.membership:
        drawn = _suspects(scenario.seed, forget, _non_members(network, test, triggered), request + 1)
    suspects = drawn and Suspects(*tensors(*drawn[0]), *drawn[1:])
    asked = {} if network.in_templates is None else {"test": tensors(network.in_templates, network.test_labels)}
    people = concept_sets(network.model, forget, test, like)
    return Evaluation(sets, {name: tensors(*rows) for name, rows in triggered.items()}, suspects, asked, people)


def _test_rows(network: NetworkSetup) -> tuple[Rows, Mapping[str, Rows]]:
    """Return the test rows, and the triggered rows for the success of a backdoor."""
    x, y, backdoor = network.features.test_x, network.test_labels, network.scenario.data.backdoor
    if backdoor is None:
        return (x, y), {}
    half = len(y) // 2
    target = np.full(half, backdoor.target)
    others = network.model.targets(y[:half]) != network.model.targets(target)
    if not others.any():
        raise ScenarioError(
            "every test sample is of the class data.backdoor.target, so the success of the backdoor cannot be "
            "measured; choose another target"
        )
    triggered = {"without_target": (x[half:][others], target[others]), "with_target": (x[half:], target)}
    return (x[:half], y[:half]), triggered


def _non_members(network: NetworkSetup, test: Rows, triggered: Mapping[str, Rows]) -> Rows:
    """Return the rows that membership attacks compare with the forget set."""
    scenario = network.scenario
    if scenario.measures.negatives == "unseen-users":
        return _unseen_users(network)
    # An attack would recognise the trigger itself, so poisoned samples are compared with triggered test images.
    poisoned = all(request.samples == "poisoned" for request in scenario.deletion.each)
    return triggered["without_target"] if poisoned else test


def _unseen_users(network: NetworkSetup) -> Rows:
    """Return the rows of natural clients that are not part of the network."""
    rows = np.setdiff1d(np.arange(len(network.labels)), np.concatenate(network.partition))
    if network.scenario.partition.kind != "natural" or not len(rows):
        raise ScenarioError(
            "measures.negatives unseen-users needs natural clients that are not part of the network: use partition "
            "natural with fewer clients than the data have, or measures.negatives=test"
        )
    return network.features.x[rows], network.labels[rows]


def _suspects(
    seed: int, members: Rows, non_members: Rows, request: int
) -> tuple[Rows, NDArray[np.bool_], NDArray[np.float64]] | None:
    """Draw members and non-members, weighted so that both have the same distribution of classes.

    Returns:
        Their rows, which of them are members, and their weights; None with fewer than two members or non-members.
    """
    generator = rng_at(seed, Stream.EVALUATION, round=request)
    drawn = [_draw(rows, generator) for rows in (members, non_members)]
    weights = class_weights(drawn[0][1], drawn[1][1])
    (x, y), (other_x, other_y) = (
        (rows[0][weight > 0], rows[1][weight > 0]) for rows, weight in zip(drawn, weights, strict=True)
    )
    if min(len(y), len(other_y)) < 2:
        return None
    member = np.arange(len(y) + len(other_y)) < len(y)
    positive = np.concatenate([weight[weight > 0] for weight in weights])
    return (np.concatenate([x, other_x]), np.concatenate([y, other_y])), member, positive


def _draw(rows: Rows, generator: np.random.Generator) -> Rows:
    """Draw at most `_SUSPECTS` rows without replacement, in their order."""
    x, y = rows
    if len(y) <= _SUSPECTS:
        return rows
    chosen = np.sort(generator.choice(len(y), _SUSPECTS, replace=False))
    return x[chosen], y[chosen]
