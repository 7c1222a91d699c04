"""Verify metrics.json: accuracies and distances on the stored models, and the cost as far as it follows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.findings import OnRecord
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.models import Model
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.runs.evaluation import Evaluation, Samples
from rewindnet.experiments.runs.measures import areas, cost_shares, ratios_to_norm
from rewindnet.experiments.runs.triggers import trigger_measures
from rewindnet.experiments.verify.concepts import check_concepts
from rewindnet.experiments.verify.plans import method_of
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import (
    UNIT_ROUNDOFF,
    certificate_of,
    demand,
    request_of,
    request_suffix_of,
    same,
    short,
    traffic_of,
)
from rewindnet.experiments.verify.weights import compared_alike

#: The largest number of products for measuring the accuracy of one release again; fewer nodes are measured beyond it.
MOST_PRODUCTS = 10_000_000_000
#: The costs of which a release states its share of retraining; seconds on the machine of the run cannot be repeated.
_SHARES = ("gradients", "rounds", "messages", "bytes", "simulated_seconds", "evaluations")


def check_measures(folder: RunFolder, rebuilt: Rebuilt, training: TrainingRun, index: int) -> str:
    """Measure the distances and accuracies of the released models again, as far as models and data allow.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.
        training: how the network learned up to the request that the release answers.
        index: the number of the release.

    Returns:
        A sentence about what was checked, or why nothing was.

    Raises:
        MismatchError: if a recorded measure is not that of the stored models.
    """
    method, present = folder.methods[index], np.flatnonzero(training.present)
    demand(method.metrics["nodes"] == present.tolist(), f"the nodes that remain are {short(present.tolist())}")
    theta = folder.weights(f"{method.place}/released")
    if theta is None:
        return OnRecord("weights were not kept, so accuracies and distances are on the record's word")
    released = theta[present]
    name = f"checkpoints/retrained{request_suffix_of(folder, index)}-{training.rounds:06d}"
    retrained = folder.weights(f"{method.place}/retrained" if compared_alike(folder, index) else name)
    _check_distances(folder, index, present, released, None if retrained is None else retrained[present])
    doubts = [] if retrained is not None else ["the distance to the retrained models, which were not kept"]
    if rebuilt.network is None:
        doubts.append(f"accuracies ({rebuilt.no_data or rebuilt.refused})")
    else:
        evaluation = rebuilt.evaluations[request_of(folder, index)]
        doubts += _check_accuracies(method.metrics, rebuilt.network.model, evaluation, released)
        if retrained is not None and compared_alike(folder, index):
            healed = {"accuracy": method.metrics["accuracy_healed"], "backdoor": None}
            alike = replace(evaluation, triggered={}, in_templates={})
            doubts += _check_accuracies(healed, rebuilt.network.model, alike, retrained[present])
        _check_triggers(folder, rebuilt, index)
        _check_areas(method.metrics.get("auc"), rebuilt.network.model, evaluation, released)
        learned = folder.weights(folder.learned_array(index, training.rounds))
        found = None if learned is None else learned[present]
        doubts += check_concepts(method.metrics, rebuilt.network.model, evaluation, released, found)
        doubts += _check_found(folder, rebuilt.network.model, evaluation.sets["test"], training, index)
    if doubts:
        return OnRecord(f"measured again on the stored models, but on the record's word: {'; '.join(doubts)}")
    return "accuracies and distances were measured again on the stored models"


def _check_distances(
    folder: RunFolder,
    index: int,
    present: NDArray[np.int64],
    released: NDArray[Any],
    retrained: NDArray[Any] | None,
) -> None:
    """Measure the distance of every model to their average and to the retrained model, and compare it with the norm."""
    metrics, roundoff = folder.methods[index].metrics, UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
    plain = released.astype(np.float64)
    check_consensus("the consensus distance", metrics["consensus_distance"], plain, roundoff)
    if retrained is None:
        return
    measured, given = np.linalg.norm(plain - retrained, axis=1), np.array(metrics["distance_to_retrained"])
    demand(
        given.shape == measured.shape and np.allclose(given, measured, rtol=1e-6, atol=1e-12),
        f"the distance to the retrained models is recorded as up to {given.max(initial=0.0):.6g} and measures up to "
        f"{measured.max(initial=0.0):.6g}",
    )
    norms, release = np.linalg.norm(retrained.astype(np.float64), axis=1), certificate_of(folder.methods[index]).release
    for name, ratios in ratios_to_norm(release, present, norms, measured, plain.shape[1]).items():
        known = metrics[name]
        agree = known == ratios or bool(known and ratios and np.allclose(known, ratios, rtol=1e-6, atol=1e-12))
        demand(agree, f"{name} is recorded as {short(known)} and measures {short(ratios)}")


def _check_accuracies(
    metrics: Mapping[str, Any], model: Model, evaluation: Evaluation, released: NDArray[Any]
) -> list[str]:
    """Measure the accuracy of every model again on every set of samples; return what was left out."""
    like, largest = evaluation.sets["test"][0], max(len(targets) for _, targets in evaluation.sets.values())
    chosen = _measured_nodes(len(released), largest * model.parameters)
    theta = torch.from_numpy(released[chosen]).to(like)
    average = torch.from_numpy(released).to(like).mean(dim=0, keepdim=True)
    groups: list[tuple[str, Mapping[str, Any], Mapping[str, Samples]]] = [
        ("accuracy", metrics["accuracy"], evaluation.sets),
        ("success of the backdoor", metrics["backdoor"] or {}, evaluation.triggered),
        ("accuracy in templates", metrics.get("triggers", {}).get("accuracy", {}), evaluation.in_templates),
    ]
    for what, recorded, sets in groups:
        demand(recorded.keys() == sets.keys(), f"{what} is recorded on {list(recorded)}; the samples are {list(sets)}")
        for name, (design, targets) in sets.items():
            scores, samples = recorded[name], len(targets)
            demand(scores["samples"] == samples, f"{name} has {samples} samples, not {scores['samples']}")
            demand(len(scores["nodes"]) == len(released), f"the {what} on {name} is not that of every node")
            measured = accuracy(model, torch.cat([theta, average]), design, targets)
            given = np.array([*np.array(scores["nodes"])[chosen], scores["average_model"]])
            check_scores(f"the {what} on {name}", given, measured, samples)
    return [] if len(chosen) == len(released) else [f"accuracies at {len(released) - len(chosen):,} nodes"]


def _check_triggers(folder: RunFolder, rebuilt: Rebuilt, index: int) -> None:
    """Check that gaps and distances follow from the accuracies, the graph and the request."""
    metrics, network, request = folder.methods[index].metrics, rebuilt.network, request_of(folder, index)
    assert network is not None
    if "triggers" not in metrics:
        return
    recorded, forget = metrics["triggers"], network.arrivals[request].forget
    asked = recorded["accuracy"]["test"]
    follows = trigger_measures(network, metrics["nodes"], forget, metrics["accuracy"]["test"], asked)
    for name in ("gap", "hops"):
        demand(
            recorded[name] == follows[name],
            f"{name} of prompts in templates: {short(follows[name])}, not {short(recorded[name])}",
        )


def _check_areas(recorded: Any, model: Model, evaluation: Evaluation, released: NDArray[Any]) -> None:
    """Measure the areas under the curve of two classes again, at as many nodes as accuracies."""
    if recorded is None:
        # There are more classes, or the run was recorded before areas were measured.
        return
    like, largest = evaluation.sets["test"][0], max(len(targets) for _, targets in evaluation.sets.values())
    chosen = _measured_nodes(len(released), largest * model.parameters)
    found = areas(model, torch.from_numpy(released).to(like)[chosen], evaluation.sets) or {}
    demand(recorded.keys() == found.keys(), f"areas are recorded on {list(recorded)}; there are those on {list(found)}")
    for name, scores in found.items():
        demand(len(recorded[name]["nodes"]) == len(released), f"the area on {name} is not that of every node")
        given, samples = np.array(recorded[name]["nodes"])[chosen], len(evaluation.sets[name][1])
        check_scores(f"the area under the curve on {name}", given, np.array(scores["nodes"]), samples)
        if len(chosen) == len(released):
            alone = np.array([recorded[name]["average_model"]])
            what = f"the area under the curve of the average model on {name}"
            check_scores(what, alone, np.array([scores["average_model"]]), samples)


def _check_found(folder: RunFolder, model: Model, test: Samples, training: TrainingRun, index: int) -> list[str]:
    """Measure the accuracy of the models that the request found; return what was left out."""
    what, scores = "the accuracy that the request found", folder.methods[index].metrics["accuracy_at_request"]
    learned = folder.weights(folder.learned_array(index, training.rounds))
    demand(len(scores) == int(training.present.sum()), f"{what} is not that of every node")
    if learned is None:
        return [f"{what}, in models which were not kept"]
    found, (design, targets) = learned[training.present], test
    chosen = _measured_nodes(len(found), len(targets) * model.parameters)
    measured = accuracy(model, torch.from_numpy(found[chosen]).to(design), design, targets)
    check_scores(what, np.array(scores)[chosen], measured, len(targets))
    return [] if len(chosen) == len(found) else [f"{what}, at {len(found) - len(chosen):,} nodes"]


def _measured_nodes(nodes: int, products: int) -> NDArray[np.int64]:
    """Choose the nodes whose accuracy is measured again, where one takes so many products."""
    count = max(1, min(nodes, MOST_PRODUCTS // products))
    return np.unique(np.linspace(0, nodes - 1, count).astype(int))


def check_consensus(what: str, recorded: float, theta: NDArray[np.float64], roundoff: float) -> None:
    """Compare a mean distance of models [N, d] to their average with what it measures.

    Args:
        what: what the distance is of.
        recorded: the distance on record.
        theta: [N, d], the stored models.
        roundoff: u of the stored models.

    Raises:
        MismatchError: if they differ by more than rounding.
    """
    distance = float(np.linalg.norm(theta - theta.mean(axis=0), axis=1).mean())
    allowed = 1e-6 * distance + 64 * roundoff * float(np.linalg.norm(theta, axis=1).max(initial=0.0)) + 1e-12
    demand(abs(recorded - distance) <= allowed, f"{what} is recorded as {recorded:.6g} and measures {distance:.6g}")


def check_scores(what: str, given: NDArray[Any], measured: NDArray[Any], samples: int) -> None:
    """Compare accuracies on so many samples with what they measure.

    Another machine rounds otherwise, and may see a sample on the boundary of two classes on the other side.

    Args:
        what: what the accuracies are of.
        given: the accuracies on record.
        measured: the accuracies now, in the same order.
        samples: the number of samples.

    Raises:
        MismatchError: if they differ by more than that.
    """
    worst = int(np.abs(given - measured).argmax())
    allowed = (1 + samples // 1000) / samples
    demand(
        float(np.abs(given - measured)[worst]) <= allowed * (1 + 1e-9),
        f"{what} is recorded as {given[worst]:.4f} where it measures {measured[worst]:.4f}",
    )


def check_costs(folder: RunFolder, rebuilt: Rebuilt, index: int) -> str:
    """Check the cost of a release for consistency, and say what of it and of its attacks is on the record's word.

    The rounds, messages and gradients of a plain descent are checked with the certificate.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.
        index: the number of the release.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if the bytes do not follow from the messages, or the shares not from the cost of retraining.
    """
    metrics, request = folder.methods[index].metrics, request_of(folder, index)
    cost = metrics["cost"]
    size = _message_bytes(folder, rebuilt, index)
    if size is not None:
        expected = cost["messages"] * size
        wrong = f"{cost['messages']:,} messages are {expected:,} bytes, not {cost['bytes']:,}"
        demand(cost["bytes"] == expected, wrong)
    retraining = next(
        method.metrics["cost"]
        for at, method in enumerate(folder.methods)
        if request_of(folder, at) == request and method.certificate.get("method") == Retrain.name
    )
    branch, shares = bool(folder.branch_of(index)), cost_shares(cost, retraining)
    # Runs that were recorded before evaluations were counted by themselves have no share of them.
    demand(
        set(_SHARES) & set(metrics["cost_share"]) == set(_SHARES) & set(shares),
        "the shares of retraining are not those of the costs that are counted",
    )
    clipped = "evaluations" in shares
    for name in set(_SHARES) & set(shares):
        share, recorded = shares[name], metrics["cost_share"][name]
        known = same(recorded, share) or (branch and _differs_on_branches(name, recorded < share, clipped))
        demand(known, f"{name} are {share:.6g} of those of retraining, not {recorded:.6g}")
    longer = ", and how much longer retraining takes with earlier noise" if branch else ""
    attacks = "" if metrics["membership"] is None else ", and the membership attacks"
    bytes_follow = "bytes and shares of retraining follow; seconds"
    if size is None:
        bytes_follow = "shares of retraining follow; bytes, seconds"
    return OnRecord(f"{bytes_follow}{longer}{attacks} are on the record's word")


def _differs_on_branches(name: str, longer: bool, clipped: bool) -> bool:
    """Return whether retraining with the noise of earlier releases, whose cost is not recorded, may explain a share.

    It takes longer, because its nodes wait for each other where they add that noise. Clipping takes other numbers of
    evaluations at models that carry it, and so other times.
    """
    return clipped if name == "evaluations" else name == "simulated_seconds" and (longer or clipped)


def _message_bytes(folder: RunFolder, rebuilt: Rebuilt, index: int) -> int | None:
    """Return the bytes of each message of a release; None where they follow from a model that cannot be built."""
    size: int = traffic_of(folder)["message_bytes"]
    number = np.dtype(folder.scenario["backend"]["dtype"]).itemsize
    model = None if rebuilt.network is None else rebuilt.network.model
    parameters = method_of(folder, index).message_parameters(size // number, model)
    return None if parameters is None else parameters * number
