"""Measure the accuracy, distance, attacks and cost of a release, and summarise them in a row of the table."""

from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, Release
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.metrics.auc import area_under_curve
from rewindnet.clients.metrics.concepts import ConceptSets, concept_measures
from rewindnet.clients.metrics.consensus import consensus_distance
from rewindnet.clients.models import Model
from rewindnet.experiments.runs.attacking import attack_release, summarise_attacks
from rewindnet.experiments.runs.concepts import concept_columns
from rewindnet.experiments.runs.evaluation import Samples
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.experiments.runs.triggers import trigger_columns, trigger_measures
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import Outcome, divergence, norms_of


def measure_release(
    setup: RunSetup,
    outcome: Outcome,
    learned: Tensor,
    at_request: Sequence[float],
    retrained: Tensor,
    retraining: Cost,
    request: int,
) -> dict[str, Any]:
    """Measure the accuracy, distance, attacks and cost of a release.

    Args:
        setup: the run.
        outcome: the outcome of the release.
        learned: [N, d], the models when the request arrived.
        at_request: their test accuracies, of the nodes that are present.
        retrained: [N, d], the models of the network retrained without the forget set; a release that heals is compared
            with those that heal alike.
        retraining: the cost of retraining.
        request: the number of the request.

    Returns:
        The content of `metrics.json`.
    """
    # Over MPI the gathered models are on the host, while the samples are on the device that computes accuracy.
    present = torch.from_numpy(np.flatnonzero(setup.network.training_run.present))
    released = _rows(outcome.released, present).to(next(iter(setup.evaluations[request].sets.values()))[0].device)
    healed = outcome.retrained_alike is not None
    retrained = _rows(retrained if outcome.retrained_alike is None else outcome.retrained_alike, present).to(
        released.device
    )
    cost = vars(outcome.cost)
    mean = released.mean(dim=0, keepdim=True)

    def accuracies(sets: Mapping[str, Samples]) -> dict[str, Any]:
        return accuracies_on(setup.network.model, released, sets)

    evaluation = setup.evaluations[request]
    on_sets = accuracies(evaluation.sets)
    distance, norms = divergence(released, retrained), norms_of(retrained)
    found = _rows(learned, present).to(released.device)
    return {
        "nodes": present.tolist(),
        "accuracy": on_sets,
        "auc": areas(setup.network.model, released, evaluation.sets),
        **({"accuracy_healed": accuracies_on(setup.network.model, retrained, evaluation.sets)} if healed else {}),
        "accuracy_at_request": list(at_request),
        "backdoor": accuracies(evaluation.triggered) or None,
        **_triggers(setup, present.tolist(), request, on_sets, accuracies(evaluation.in_templates)),
        **_concepts(setup.network.model, released, found, evaluation.concepts),
        "membership": attack_release(setup, learned, outcome.released, request),
        "distance_to_retrained": distance.tolist(),
        **ratios_to_norm(outcome.plan.release, present.numpy(), norms, distance, released.shape[1]),
        "consensus_distance": consensus_distance(released, mean),
        "cost": cost,
        "cost_share": cost_shares(cost, vars(retraining)),
    }


def accuracy_at_request(setup: RunSetup, learned: Tensor, request: int) -> list[float]:
    """Measure the test accuracy of the models when a request arrived [N, d], of the nodes that are present."""
    design, targets = setup.evaluations[request].sets["test"]
    present = torch.from_numpy(np.flatnonzero(setup.network.training_run.present))
    found: list[float] = accuracy(
        setup.network.model, _rows(learned, present).to(design.device), design, targets
    ).tolist()
    return found


def _triggers(
    setup: RunSetup, nodes: list[int], request: int, on_sets: Mapping[str, Any], in_templates: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is left of the answers to prompts in templates; of other data nothing."""
    if not in_templates:
        return {}
    forget = setup.network.arrivals[request].forget
    return {"triggers": trigger_measures(setup.network, nodes, forget, on_sets["test"], in_templates["test"])}


def _concepts(model: Model, released: Tensor, learned: Tensor, sets: ConceptSets | None) -> dict[str, Any]:
    """Return what is left of a person whose images are deleted; of other data nothing."""
    return {} if sets is None else {"concepts": concept_measures(model, released, learned, sets)}


def cost_shares(cost: Mapping[str, Any], retraining: Mapping[str, Any]) -> dict[str, float]:
    """Return a cost as shares of that of retraining, which has gossip rounds of its own only by chance.

    Evaluations are left out where retraining evaluates each gradient once.
    """
    left_out = {"gossip_rounds"}
    if retraining.get("evaluations") == retraining["gradients"]:
        left_out.add("evaluations")
    names = (name for name in cost if name in retraining and name not in left_out)
    return {name: cost[name] / retraining[name] if retraining[name] else 0.0 for name in names}


def _rows(theta: Tensor, present: Tensor) -> Tensor:
    """Return the models of the nodes that are present, which are not copied if all are."""
    return theta if len(present) == len(theta) else theta[present]


def ratios_to_norm(
    release: Release, present: NDArray[np.int64], norms: NDArray[np.float64], distance: NDArray[np.float64], d: int
) -> dict[str, list[float] | None]:
    """Compare the distance from retraining, and the noise, with the norms of the retrained models.

    Args:
        release: the release.
        present: [n], the nodes.
        norms: [n], the norm of each retrained model.
        distance: [n], the distance of each released model from the retrained one.
        d: the number of parameters.

    Returns:
        `distance_to_norm` and `noise_to_norm`, that of the expected norm σ·√d of the noise, for each node; None where a
        retrained model is 0, or where noise is added several times, so that later rounds shrink the earlier noise.
    """
    noise = _ratios(release.sigma[present] * np.sqrt(d), norms) if release.adds_one_vector else None
    return {"distance_to_norm": _ratios(distance, norms), "noise_to_norm": noise}


def _ratios(values: NDArray[np.float64], norms: NDArray[np.float64]) -> list[float] | None:
    """Return the ratios [n] of values [n] to the norms [n] of models; None if a model is 0."""
    return (values / norms).tolist() if norms.all() else None


def accuracies_on(model: Model, theta: Tensor, sets: Mapping[str, Samples]) -> dict[str, Any]:
    """Compute the accuracy of each node's model [n, d], and of the average model, on sets of samples by name."""
    mean = theta.mean(dim=0, keepdim=True)
    return {name: _accuracies(model, theta, mean, *samples) for name, samples in sets.items()}


def _accuracies(model: Model, released: Tensor, mean: Tensor, design: Tensor, targets: Tensor) -> dict[str, Any]:
    """Compute the accuracy of each node's model, and of the average model, on one set of samples."""
    return {
        "nodes": accuracy(model, released, design, targets).tolist(),
        "average_model": float(accuracy(model, mean, design, targets)[0]),
        "samples": len(design),
    }


def areas(model: Model, released: Tensor, sets: Mapping[str, Samples]) -> dict[str, Any] | None:
    """Compute the area under the curve of each node's model, and of the average model, on sets of samples.

    Args:
        model: the model.
        released: [n, d].
        sets: the sets of samples by name.

    Returns:
        The areas on each set that has samples of both classes; None for a task with more than two.
    """
    if model.outputs > 2:
        return None
    models = torch.cat([released, released.mean(dim=0, keepdim=True)])
    found = {name: area_under_curve(model, models, *samples) for name, samples in sets.items()}
    return {
        name: {"nodes": each[:-1].tolist(), "average_model": float(each[-1])}
        for name, each in found.items()
        if each is not None
    }


def table_row(
    index: int,
    variant: str,
    certificate: Certificate,
    audit: Audit,
    metrics: dict[str, Any],
    deleting: Collection[int],
) -> dict[str, Any]:
    """Summarise a release in a row of the table.

    Args:
        index: the number of the release.
        variant: the variant of its method.
        certificate: its certificate.
        audit: the audit of the certificate.
        metrics: the result of `measure_release`.
        deleting: the deleting nodes.

    Returns:
        A row of `summary.json`.
    """
    return {
        "index": index,
        "method": certificate.method,
        "variant": variant,
        **_release_columns(certificate),
        **_epsilon_columns(certificate, audit),
        **_metric_columns(metrics, deleting),
    }


def _release_columns(certificate: Certificate) -> dict[str, Any]:
    """Describe the noise and the rounds of a release."""
    release, claim = certificate.release, certificate.claim
    return {
        "mechanism": release.mechanism.kind,
        "noise": release.mechanism.noise_summary(release, claim),
        "view": str(certificate.view),
        "bound": claim.bound,
        "placement": release.placement,
        "allocation": claim.allocation,
        "gossip_rounds": release.gossip_rounds,
        "rewind": certificate.rewound_rounds / certificate.training.rounds,
        "rounds": release.descent_rounds,
    }


def _epsilon_columns(certificate: Certificate, audit: Audit) -> dict[str, Any]:
    """Return the claimed, certified and measured ε, and the sensitivity, the divergence and the σ behind them."""
    sigma, constants = certificate.release.sigma, certificate.training.constants
    doubtful = certificate.conditional and constants.conditional
    return {
        "sensitivity": max(certificate.sensitivity, default=None),
        "divergence": max(audit.divergence),
        "sigma": (sum(s * s for s in sigma) / len(sigma)) ** 0.5,
        "delta": certificate.delta,
        "epsilon_claimed": certificate.claim.claimed_epsilon,
        "claimed_by": certificate.claim.claimed_by,
        "epsilon_certified": certificate.epsilon,
        "epsilon_empirical": audit.epsilon_empirical,
        "epsilon_lower_bound": audit.monte_carlo and audit.monte_carlo.epsilon_lower_bound,
        "conditional": certificate.conditional,
        "data_dependent_noise": certificate.data_dependent_noise,
        # Other rows have no such entry.
        **({"doubtful_constants": True} if doubtful else {}),
        "premises": list(certificate.premises),
        "holds": audit.holds,
        "noise_audit": "no noise" if audit.noise_audit.no_noise else audit.noise_audit.status,
        "noise_audit_reason": audit.noise_audit.sentence,
        "reason": certificate.reason,
    }


def _metric_columns(metrics: Mapping[str, Any], deleting: Collection[int]) -> dict[str, Any]:
    """Summarise the metrics over nodes."""
    accuracy, backdoor, found = metrics["accuracy"], metrics["backdoor"], metrics["accuracy_at_request"]
    return {
        "accuracy_at_request": {"mean": _mean({"nodes": found}), "lowest": min(found)},
        "accuracy": _over_nodes(accuracy),
        # Releases that do not heal have no such entry, nor have runs that were recorded before it was measured.
        **({"accuracy_healed": _over_nodes(metrics["accuracy_healed"])} if "accuracy_healed" in metrics else {}),
        # Tasks with more classes have no such entry, nor have runs that were recorded before it was measured.
        **({"auc": _over_nodes(metrics["auc"])} if metrics.get("auc") else {}),
        **({"triggers": trigger_columns(metrics["triggers"])} if "triggers" in metrics else {}),
        **({"concepts": concept_columns(metrics["concepts"])} if "concepts" in metrics else {}),
        "backdoor": backdoor
        and {name: {"mean": _mean(of), "highest": max(of["nodes"])} for name, of in backdoor.items()},
        "membership": summarise_attacks(metrics["membership"], deleting),
        "distance_to_retrained": max(metrics["distance_to_retrained"]),
        **{name: median(metrics[name]) if metrics[name] else None for name in ("distance_to_norm", "noise_to_norm")},
        "cost_share": metrics["cost_share"],
        **{f"cost_{name}": cost[name] for name in ("gossip_rounds",) if name in (cost := metrics["cost"])},
        "simulated_seconds": metrics["cost"]["simulated_seconds"],
    }


def _over_nodes(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"mean": _mean(of), "lowest": min(of["nodes"])} for name, of in scores.items()}


def _mean(score: Mapping[str, Any]) -> float:
    return float(sum(score["nodes"]) / len(score["nodes"]))
