"""Membership attacks on a release: on the models of deleting clients, a few others, and the average."""

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

#: Addresses of the draws of one request: the nodes that are looked at, and folds.
_NODES, _FOLDS = 1, 2


def attacked(setup: RunSetup, learned: Tensor, released: Tensor, request: int) -> dict[str, Any] | None:
    """Measure how well members of the forget set are told from samples that no model has learned from.

    Args:
        setup: of the run.
        learned: [N, d], the models when the request arrived.
        released: [N, d], the models after unlearning.
        request: which request was answered.

    Returns:
        None where the scenario asks for no attacks, or there are too few members to cross-validate. Otherwise the
        numbers of samples, the nodes, and for each attack and statistic its value at these nodes and on the average.
    """
    suspects, measures = setup.evaluations[request].suspects, setup.scenario.measures
    if suspects is None:
        return None
    nodes, member = attacked_nodes(setup, request), suspects.member
    folds = min(measures.folds, int(member.sum()), int((~member).sum()))
    present = np.flatnonzero(setup.network.training_run.present)
    generator = rng_at(setup.scenario.seed, Stream.EVALUATION, round=1 + request, node=_FOLDS)
    dealt = [split_in_folds(member, folds, generator) for _ in range(measures.repeats)]

    def chosen(theta: Tensor) -> Tensor:
        everyone = theta if len(present) == len(theta) else theta[present]
        return torch.cat([theta[nodes], everyone.mean(dim=0, keepdim=True)]).to(suspects.design)

    observed = observations(setup.network.model, chosen(released), chosen(learned), suspects)
    results: dict[str, Any] = {}
    for name, models in observed.items():
        every = [asdict(attack(model, member, suspects.weight, dealt)) for model in models]
        results[name] = {
            statistic: {"nodes": [scores[statistic] for scores in every[:-1]], "average_model": every[-1][statistic]}
            for statistic in every[0]
        }
    counts = {"members": int(member.sum()), "non_members": int((~member).sum())}
    return {**counts, "folds": folds, "nodes": nodes.tolist(), "attacks": results}


def attacked_nodes(setup: RunSetup, request: int) -> NDArray[np.int64]:
    """Choose the nodes whose models are attacked: those that delete, and others drawn at random."""
    seed, count = setup.scenario.seed, setup.scenario.measures.nodes
    present = np.flatnonzero(setup.network.training_run.present)
    deleting = np.intersect1d(present, list(setup.network.arrivals[request].forget))[:count]
    others = np.setdiff1d(present, deleting)
    generator = rng_at(seed, Stream.EVALUATION, round=1 + request, node=_NODES)
    drawn = generator.choice(others, size=min(len(others), count - len(deleting)), replace=False)
    return np.concatenate([deleting, np.sort(drawn)]).astype(np.int64)


def summarised(membership: dict[str, Any] | None, deleting: Collection[int]) -> dict[str, Any] | None:
    """Summarise attacks for the table: each statistic on deleting clients' models, on the average, and at worst.

    Args:
        membership: from `attacked`.
        deleting: the nodes that deleted.
    """
    if membership is None:
        return None
    own = [at for at, node in enumerate(membership["nodes"]) if node in deleting]
    return {
        name: {
            statistic: {
                "client": max((scores["nodes"][at] for at in own), default=None),
                "average_model": scores["average_model"],
                "worst": max([*scores["nodes"], scores["average_model"]]),
            }
            for statistic, scores in statistics.items()
        }
        for name, statistics in membership["attacks"].items()
    }
