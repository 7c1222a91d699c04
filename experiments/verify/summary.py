"""Verify summary.json against the certificates, audits and metrics of the releases."""

from collections.abc import Iterable, Mapping
from math import isclose
from typing import Any

from rewindnet.certificates import Audit
from rewindnet.experiments.folder.reader import MethodRecords, RunFolder, goes_on_from_releases
from rewindnet.experiments.runs.composition import compose_releases
from rewindnet.experiments.verify.records import certificate_of, demand, request_of, same, short

Row = Mapping[str, Any]


def check_table(folder: RunFolder) -> str:
    """Check every row of the table, and the composition of all releases of a method.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a row or a composition does not follow from the other records.
    """
    for index, (row, method) in enumerate(zip(folder.summary, folder.methods, strict=True)):
        for name, value in _expected_values(folder, method, index).items():
            demand(same(row[name], value), f"row {index} says {name} = {short(row[name])}; it is {short(value)}")
        _check_accuracies(row, method.metrics, index)
        _check_backdoor(row, method.metrics, index)
        _check_membership(row, method.metrics, index)
    _check_composition(folder)
    return f"{len(folder.summary)} rows, as their certificates, audits and metrics have it"


def _expected_values(folder: RunFolder, method: MethodRecords, index: int) -> dict[str, Any]:
    """Compute the plain values of a row from the records of its release."""
    claimed, audit = certificate_of(method), Audit.from_record(method.audit)
    return {
        "index": index,
        "request": request_of(folder, index),
        "method": claimed.method,
        "view": str(claimed.view),
        "noise": claimed.release.mechanism.noise_summary(claimed.release, claimed.claim),
        "epsilon_certified": claimed.epsilon,
        "epsilon_claimed": claimed.claim.claimed_epsilon,
        "claimed_by": claimed.claim.claimed_by,
        "mechanism": claimed.release.mechanism.kind,
        "epsilon_empirical": audit.epsilon_empirical,
        "epsilon_lower_bound": audit.monte_carlo and audit.monte_carlo.epsilon_lower_bound,
        "holds": audit.holds,
        "data_dependent_noise": claimed.data_dependent_noise,
        "premises": list(claimed.premises),
        "noise_audit": "no noise" if audit.noise_audit.no_noise else audit.noise_audit.status,
        "conditional": claimed.conditional,
        "sensitivity": max(claimed.sensitivity, default=None),
        "divergence": max(audit.divergence),
        "distance_to_retrained": max(method.metrics["distance_to_retrained"]),
        "simulated_seconds": method.metrics["cost"]["simulated_seconds"],
    }


def _check_accuracies(row: Row, metrics: Mapping[str, Any], index: int) -> None:
    """Check the mean and the lowest accuracy over nodes on each set of samples."""
    nodes, scores = metrics["accuracy_at_request"], row["accuracy_at_request"]
    equal = isclose(scores["mean"], sum(nodes) / len(nodes)) and scores["lowest"] == min(nodes)
    demand(equal, f"row {index} shows another accuracy of the models that the request found than its metrics")
    for name, scores in row["accuracy"].items():
        nodes = metrics["accuracy"][name]["nodes"]
        equal = isclose(scores["mean"], sum(nodes) / len(nodes)) and scores["lowest"] == min(nodes)
        demand(equal, f"row {index} shows another accuracy on {name} than its metrics")


def _check_backdoor(row: Row, metrics: Mapping[str, Any], index: int) -> None:
    """Check the mean and the highest success of the backdoor over nodes."""
    for name, scores in (row.get("backdoor") or {}).items():
        nodes = metrics["backdoor"][name]["nodes"]
        equal = isclose(scores["mean"], sum(nodes) / len(nodes)) and scores["highest"] == max(nodes)
        demand(equal, f"row {index} shows another success of the backdoor {name} than its metrics")


def _check_membership(row: Row, metrics: Mapping[str, Any], index: int) -> None:
    """Check every statistic of every membership attack."""
    for name, statistics in (row.get("membership") or {}).items():
        for statistic, scores in statistics.items():
            measured = metrics["membership"]["attacks"][name][statistic]
            equal = (
                scores["worst"] == max(*measured["nodes"], measured["average_model"])
                and scores["average_model"] == measured["average_model"]
                and scores["client"] in (None, *measured["nodes"])
            )
            demand(equal, f"row {index} shows another membership attack {name} than its metrics")


def _check_composition(folder: RunFolder) -> None:
    """Check the composed certificates of all releases of each method, where there are several requests."""
    methods, requests = len(folder.scenario["unlearning"]), len(folder.learning["requests"])
    certificates = [certificate_of(method) for method in folder.methods]
    by_method: Iterable[Any] = (certificates[index::methods] for index in range(methods))
    # Where learning goes on from releases, the certificate of a request covers what follows it.
    composed = requests > 1 and not goes_on_from_releases(folder.scenario)
    expected = compose_releases(list(by_method)) if composed else []
    demand(same(folder.compositions, expected), "the composition of all releases of a method does not follow from them")
