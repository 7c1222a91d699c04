"""The accuracy, distance, attacks and cost of a release: metrics.json and a row of the table."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rewindnet.certificates import Audit, Certificate
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.models import Model
from rewindnet.experiments.runs.attacking import attacked, summarised
from rewindnet.experiments.runs.evaluation import Samples
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import Outcome, divergence


def measure(
    setup: RunSetup, outcome: Outcome, learned: Tensor, retrained: Tensor, retraining: Cost, request: int
) -> dict[str, Any]:
    """Measure the accuracy, distance, attacks and cost of a release: `metrics.json`.

    Args:
        setup: of the run.
        outcome: of the release.
        learned: [N, d], the models when the request arrived.
        retrained: [N, d], those of the network had it never seen the forget set.
        retraining: what that took.
        request: the number of the request that was answered.
    """
    # Over MPI, what was gathered is on the host; the samples are wherever accuracy is to be computed.
    present = torch.from_numpy(np.flatnonzero(setup.network.training_run.present))
    released = outcome.released[present].to(next(iter(setup.evaluations[request].sets.values()))[0].device)
    retrained = retrained[present].to(released.device)
    spent, whole = vars(outcome.cost), vars(retraining)
    mean = released.mean(dim=0, keepdim=True)

    def shares(sets: Mapping[str, Samples]) -> dict[str, Any]:
        return {name: _share_right(setup.network.model, released, mean, *samples) for name, samples in sets.items()}

    evaluation = setup.evaluations[request]
    return {
        "nodes": present.tolist(),
        "accuracy": shares(evaluation.sets),
        "backdoor": shares(evaluation.triggered) or None,
        "membership": attacked(setup, learned, outcome.released, request),
        "distance_to_retrained": divergence(released, retrained).tolist(),
        "consensus_distance": float((released - mean).norm(dim=1).mean()),
        "cost": spent,
        "cost_share": {name: spent[name] / whole[name] if whole[name] else 0.0 for name in spent},
    }


def _share_right(model: Model, released: Tensor, mean: Tensor, design: Tensor, targets: Tensor) -> dict[str, Any]:
    """Compute the share of samples that each node's model classifies as its target says, and that the average does."""
    return {
        "nodes": accuracy(model, released, design, targets).tolist(),
        "average_model": float(accuracy(model, mean, design, targets)[0]),
        "samples": len(design),
    }


def row(
    index: int,
    variant: str,
    certificate: Certificate,
    found: Audit,
    metrics: dict[str, Any],
    deleting: Collection[int],
) -> dict[str, Any]:
    """Summarise a release in a row of the table: `summary.json`.

    Args:
        index: which release of the run it is.
        variant: which form of its method.
        certificate: of it.
        found: by its audit.
        metrics: as `measure` has them.
        deleting: the nodes that deleted.
    """
    scores = metrics["accuracy"]
    return {
        "index": index,
        "method": certificate.method,
        "variant": variant,
        "mechanism": certificate.release.mechanism.kind,
        "noise": certificate.release.mechanism.noise_summary(certificate.release, certificate.claim),
        "view": str(certificate.view),
        "bound": certificate.claim.bound,
        "placement": certificate.release.placement,
        "allocation": certificate.claim.allocation,
        "gossip_rounds": certificate.release.gossip_rounds,
        "rewind": certificate.rewound_rounds / certificate.training.rounds,
        "rounds": certificate.release.descent_rounds,
        "sensitivity": max(certificate.sensitivity, default=None),
        "divergence": max(found.divergence),
        "sigma": (sum(s * s for s in certificate.release.sigma) / len(certificate.release.sigma)) ** 0.5,
        "delta": certificate.delta,
        "epsilon_claimed": certificate.claim.claimed_epsilon,
        "claimed_by": certificate.claim.claimed_by,
        "epsilon_certified": certificate.epsilon,
        "epsilon_empirical": found.epsilon_empirical,
        "epsilon_lower_bound": found.monte_carlo and found.monte_carlo.epsilon_lower_bound,
        "conditional": certificate.conditional,
        "holds": found.holds,
        "noise_audit": found.noise_audit.status if not found.noise_audit.no_noise else "no noise",
        "noise_audit_reason": found.noise_audit.sentence,
        "reason": certificate.reason,
        "accuracy": {name: {"mean": _mean(of), "lowest": min(of["nodes"])} for name, of in scores.items()},
        "backdoor": metrics["backdoor"]
        and {name: {"mean": _mean(of), "highest": max(of["nodes"])} for name, of in metrics["backdoor"].items()},
        "membership": summarised(metrics["membership"], deleting),
        "distance_to_retrained": max(metrics["distance_to_retrained"]),
        "cost_share": metrics["cost_share"],
        "simulated_seconds": metrics["cost"]["simulated_seconds"],
    }


def _mean(score: Mapping[str, Any]) -> float:
    return float(sum(score["nodes"]) / len(score["nodes"]))
