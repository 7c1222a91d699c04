"""Attack the releases of a run by membership inference: models of deleting clients, of others, and the average."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.metrics.membership import attack, observations, split_in_folds
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

#: Addresses of the random draws of one request: of the attacked nodes, and of the folds.
_NODES, _FOLDS = 1, 2


def attack_release(setup: RunSetup, learned: Tensor, released: Tensor, request: int) -> dict[str, Any] | None:
    """Measure how well membership attacks distinguish the forget set from samples that no model was trained on.

    Args:
        setup: the run.
        learned: [N, d], the models when the request arrived.
        released: [N, d], the models after unlearning.
        request: the number of the request.

    Returns:
        The numbers of samples, the nodes, and for each attack and statistic its value at these nodes and on the average
        model; None if the scenario asks for no attacks, or has too few members to cross-validate.
    """
    suspects, measures = setup.evaluations[request].suspects, setup.scenario.measures
    if suspects is None:
        return None
    nodes, member = attacked_nodes(setup, request), suspects.member
    folds = min(measures.folds, int(member.sum()), int((~member).sum()))
    present = np.flatnonzero(setup.network.training_run.present)
    generator = rng_at(setup.scenario.seed, Stream.EVALUATION, round=1 + request, node=_FOLDS)
    splits = [split_in_folds(member, folds, generator) for _ in range(measures.repeats)]

    def attacked_models(theta: Tensor) -> Tensor:
        remaining = theta if len(present) == len(theta) else theta[present]
        return torch.cat([theta[nodes], remaining.mean(dim=0, keepdim=True)]).to(suspects.design)

    observed = observations(setup.network.model, attacked_models(released), attacked_models(learned), suspects)
    results: dict[str, Any] = {}
    for name, models in observed.items():
        *of_nodes, of_average = [asdict(attack(model, member, suspects.weight, splits)) for model in models]
        results[name] = {
            statistic: {"nodes": [scores[statistic] for scores in of_nodes], "average_model": of_average[statistic]}
            for statistic in of_average
        }
    counts = {"members": int(member.sum()), "non_members": int((~member).sum())}
    return {**counts, "folds": folds, "nodes": nodes.tolist(), "attacks": results}


def attacked_nodes(setup: RunSetup, request: int) -> NDArray[np.int64]:
    """Select the nodes whose models are attacked: the deleting nodes, and then others at random.

    Args:
        setup: the run.
        request: the number of the request.
    """
    seed, count = setup.scenario.seed, setup.scenario.measures.nodes
    present = np.flatnonzero(setup.network.training_run.present)
    deleting = np.intersect1d(present, list(setup.network.arrivals[request].forget))[:count]
    others = np.setdiff1d(present, deleting)
    generator = rng_at(seed, Stream.EVALUATION, round=1 + request, node=_NODES)
    drawn = generator.choice(others, size=min(len(others), count - len(deleting)), replace=False)
    return np.concatenate([deleting, np.sort(drawn)]).astype(np.int64)


def summarise_attacks(membership: dict[str, Any] | None, deleting: Collection[int]) -> dict[str, Any] | None:
    """Summarise attacks for the table: each statistic on deleting clients, on the average model, and at worst.

    Args:
        membership: the result of `attack_release`.
        deleting: the deleting nodes.
    """
    if membership is None:
        return None
    clients = [at for at, node in enumerate(membership["nodes"]) if node in deleting]
    return {
        name: {
            statistic: {
                "client": max((scores["nodes"][at] for at in clients), default=None),
                "average_model": scores["average_model"],
                "worst": max([*scores["nodes"], scores["average_model"]]),
            }
            for statistic, scores in statistics.items()
        }
        for name, statistics in membership["attacks"].items()
    }
