"""The verifier: derives every certificate of a run again from the folder's records alone.

It shares `certificates` with the path that produced them, and the methods where it asks what they would plan: the
mixing matrix is rebuilt from topology.json, the noise is drawn again from its address, divergences are measured again
on the stored weights.
"""

from collections.abc import Mapping, Sequence
from math import isclose, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from rewindnet.certificates import (
    Audit,
    Certificate,
    TrainingRun,
    certify,
    derive,
    forget_digest,
    settings_of,
    worst_case_disturbance,
)
from rewindnet.certificates.constants import DERIVATIONS, Constants
from rewindnet.certificates.sensitivity.departure import weight_change
from rewindnet.clients.methods import Method
from rewindnet.experiments.folder.reader import MethodRecords, RunFolder, read_folder
from rewindnet.experiments.runs.composed import composed
from rewindnet.experiments.verify.noise import noise_audit_sentence
from rewindnet.experiments.verify.plans import check_plan, method_of
from rewindnet.experiments.verify.records import (
    TOLERANCE,
    UNIT_ROUNDOFF,
    Finding,
    OnRecord,
    certificate_of,
    demand,
    finding,
    recorded_requests,
    recorded_weights,
    request_of,
    same,
    short,
)
from rewindnet.experiments.verify.sampling import sampling_sentence
from rewindnet.experiments.verify.weights import audit_sentence, noise_sentence, released_sentence, weights_sentence


def verify_folder(path: Path) -> list[Finding]:
    """Check a run folder: the network, learning, the stored weights, and every certificate and audit.

    Raises:
        FolderError: if the folder holds no complete run.
    """
    folder = read_folder(path)
    findings = [finding("network", _network_sentence, folder)]
    if not findings[0].holds:
        return findings
    findings.append(finding("learning", _learning_sentence, folder))
    if not findings[1].holds:
        return findings
    findings.append(finding("stored weights", weights_sentence, folder))
    learnings = recorded_requests(folder)
    for index, method in enumerate(folder.methods):
        learning = learnings[request_of(folder, index)]
        for what, check in (
            ("certificate", _certificate_sentence),
            ("audit", audit_sentence),
            ("Monte-Carlo audit", sampling_sentence),
            ("noise", noise_sentence),
            ("noise audit", noise_audit_sentence),
            ("released models", released_sentence),
        ):
            findings.append(
                finding(f"{index} {method.certificate.get('method')}, {what}", check, folder, learning, index)
            )
    findings.append(finding("table", _table_sentence, folder))
    return findings


def _network_sentence(folder: RunFolder) -> str:
    """Non-negative weights on edges, rows that sum to 1."""
    W = recorded_weights(folder)
    demand(bool(np.all(W.data >= 0)), "a mixing weight is negative")
    worst = float(np.abs(W.sum(axis=1) - 1).max())
    demand(worst <= TOLERANCE, f"a row of the mixing matrix is {worst:.3g} away from summing to 1")
    edges = {frozenset(edge) for edge in folder.topology["edges"]}
    off = [(i, j) for i, j, w in folder.topology["weights"] if i != j and w != 0 and frozenset((i, j)) not in edges]
    demand(not off, f"nodes {off[0] if off else ''} exchange weight without an edge between them")
    return f"{W.shape[0]} nodes, {len(edges)} edges, every row of the mixing matrix sums to 1"


def _learning_sentence(folder: RunFolder) -> str:
    """learning.json against the scenario, the constants against the model and features, the ledger against G."""
    learnings, scenario = recorded_requests(folder), folder.scenario
    demand(learnings[-1].rounds == scenario["learning"]["rounds"], "learning ends in another round than was asked for")
    for request, learning in enumerate(learnings):
        _check_learning(folder, learning, request)
    learning = learnings[-1]
    derivable = learning.constants.model in DERIVATIONS and learning.constants.radius.provenance != "estimated"
    derived = "derived again" if derivable else "on the record's word"
    said = f"{learning.rounds} rounds, constants {derived}, disturbances within their bound"
    return said if derivable else OnRecord(said)


def _check_learning(folder: RunFolder, learning: TrainingRun, request: int) -> None:
    """What the record says of learning up to one request."""
    scenario = folder.scenario
    for key in ("step_size", "local_steps", "order", "radius"):
        asked, recorded = scenario["learning"][key], getattr(learning, key)
        demand(asked == recorded, f"learning.{key} is {asked} in the scenario and {recorded} in the record")
    constants = learning.constants
    demand(constants.model == scenario["model"]["kind"], f"the constants are those of another model, {constants.model}")
    _check_constants(constants, scenario)
    _check_forget(folder, learning, request)
    dtype = scenario["backend"]["dtype"]
    demand(
        learning.arithmetic is not None and learning.arithmetic.unit_roundoff == UNIT_ROUNDOFF[dtype],
        f"rounding is not charged as that of {dtype}",
    )
    _check_ledger(learning)


def _check_constants(constants: Constants, scenario: Mapping[str, Any]) -> None:
    """Check the constants against their derivation; those that nobody has derived must not be called proven."""
    if constants.model not in DERIVATIONS:
        demand(
            constants.conditional, f"no derivation is known of the constants of {constants.model}, said to be proven"
        )
        return
    settings = {name: float(scenario["model"][name]) for name in settings_of(constants.model)}
    again = derive(constants.model, constants.radius, **settings)
    demand(
        constants.settings == again.settings,
        f"the constants are those of the settings {dict(constants.settings)}, not of {settings}",
    )
    for name in ("G", "L", "l2", "strong_convexity"):
        one, other = getattr(constants, name), getattr(again, name)
        alike = isclose(one.value, other.value, rel_tol=TOLERANCE, abs_tol=1e-15) and one.provenance == other.provenance
        demand(
            alike,
            f"the constant {name} is {one.value} ({one.provenance}); it follows as {other.value} ({other.provenance})",
        )
    demand(
        constants.radius.provenance == _radius_provenance(scenario["data"]["features"]),
        f"the feature norm is said to be {constants.radius.provenance}, which these features do not support",
    )
    _check_radius(constants.radius.value, scenario)


def _check_ledger(learning: TrainingRun) -> None:
    """Nothing measured is more than what the constants allow."""
    ledger = learning.ledger
    if ledger is None:
        return
    for t, measured in enumerate(ledger.disturbance):
        allowed = worst_case_disturbance(learning, t)[:, list(ledger.nodes)]
        excess = np.divide(measured, allowed, out=np.where(measured > 0, np.inf, 0.0), where=allowed > 0)
        worst = float(excess.max(initial=0.0))
        demand(worst <= 1 + 1e-6, f"a measured disturbance is {worst:.4g} times what the constants allow")
    if ledger.mixing_drift is not None and learning.radius is not None:
        for t, felt in enumerate(ledger.mixing_drift):
            allowed = learning.radius * weight_change(learning, t)[list(ledger.affected_nodes)]
            demand(bool(np.all(felt <= allowed * (1 + 1e-6))), "a measured drift is more than the radius allows")


def _radius_provenance(features: Mapping[str, Any]) -> str:
    if features["kind"] == "raw":
        return "estimated" if features.get("radius") is None else "enforced"
    return "proven"


def _check_radius(radius: float, scenario: Mapping[str, Any]) -> None:
    """What enforced features make of the norm, the bias counted in; an estimated norm cannot be derived again."""
    features, bias = scenario["data"]["features"], float(scenario["model"].get("bias", 0.0))
    enforced = 1.0 if features["kind"] != "raw" else features.get("radius")
    if enforced is not None:
        expected = sqrt((1 - bias**2) * enforced**2 + bias**2) if bias else enforced
        demand(isclose(radius, expected, rel_tol=TOLERANCE), f"the feature norm is {expected:.6g}, not {radius:.6g}")


def _check_forget(folder: RunFolder, learning: TrainingRun, request: int) -> None:
    """A forget set against the requests that have arrived by then, and against the one before it."""
    forget, before = (_forget(folder, at) if at >= 0 else {} for at in (request, request - 1))
    demand(forget_digest(forget) == learning.forget_sha256, "the forget set is not the one that was certified")
    asked = _asked(folder, learning.rounds)
    clients = {one["client"] for one in asked}
    demand(set(forget) == clients, f"the forget set is not that of the deleting clients {sorted(clients)}")
    for node, positions in forget.items():
        distinct = set(positions)
        inside = all(0 <= position < learning.samples[node] for position in distinct)
        demand(inside and len(distinct) == len(positions), f"the forget set of node {node} is not a set of its samples")
        demand(distinct >= set(before.get(node, [])), f"node {node} deletes less than in the request before")
        _check_count(
            int(learning.samples[node]), positions, [_count(folder, one) for one in asked if one["client"] == node]
        )
    for at, counts in [(request, learning.deleted), *enumerate(counts for _, counts in learning.earlier_deletions)]:
        counted = {node: int(count) for node, count in enumerate(counts) if count}
        told = {node: len(positions) for node, positions in _forget(folder, at).items()}
        demand(counted == told, "the numbers of deleted samples are not those of the forget set")
    rounds = [one["rounds"] for one in folder.learning["requests"][:request]]
    demand([start for start, _ in learning.earlier_deletions] == rounds, "earlier requests arrived in other rounds")


def _forget(folder: RunFolder, request: int) -> dict[int, list[int]]:
    return {int(node): gone for node, gone in folder.learning["requests"][request]["forget"].items()}


def _asked(folder: RunFolder, round: int) -> list[Mapping[str, Any]]:
    """The requests of the scenario that have arrived by that round."""
    deletion, T = folder.scenario["deletion"], folder.scenario["learning"]["rounds"]
    every: list[Mapping[str, Any]] = deletion.get("requests") or [deletion]
    return [one for one in every if (one["round"] or T) <= round]


def _count(folder: RunFolder, asked: Mapping[str, Any]) -> Any:
    """What a request says of its samples; as many as the backdoor has where those are asked for."""
    poisoned = asked["samples"] == "poisoned"
    return folder.scenario["data"]["backdoor"]["samples"] if poisoned else asked["samples"]


def _check_count(n: int, gone: Sequence[int], asked: Sequence[Any]) -> None:
    """How many samples a client deletes in all, where the labels need not be known to tell."""
    if "all" in asked:
        met = len(gone) == n
    elif all(isinstance(one, int) for one in asked):
        met = len(gone) == sum(asked)
    elif len(asked) == 1 and isinstance(asked[0], float):
        met = len(gone) == max(1, round(asked[0] * n))
    else:
        met = all(set(one["indices"]) <= set(gone) for one in asked if isinstance(one, dict) and "indices" in one)
    demand(met, f"{', '.join(map(str, asked))} of {n} samples were to be deleted, not these {len(gone)}")


def _certificate_sentence(folder: RunFolder, learning: TrainingRun, index: int) -> str:
    """Certify what the certificate says was done, and compare every field."""
    claimed = certificate_of(folder.methods[index])
    asked, method = folder.scenario["unlearning"], method_of(folder, index)
    _check_settings(claimed, asked[index % len(asked)], method)
    _check_cost(folder.methods[index], claimed, learning)
    method.check_certificate(claimed, learning, folder.methods[index].metrics["cost"])
    again = certify(learning, claimed.release, claimed.claim)
    for name, one in claimed.to_record().items():
        other = again.to_record()[name]
        demand(same(one, other), f"{name} is recorded as {short(one)} and follows as {short(other)}")
    check_plan(method, claimed, learning)
    if claimed.epsilon is None:
        return f"rightly claims nothing: {claimed.reason}"
    return f"({claimed.epsilon:.6g}, {claimed.delta:g}) for the view {claimed.view} follows from the records"


def _check_settings(claimed: Certificate, asked: Mapping[str, Any], method: Method) -> None:
    """The certificate against what the scenario asked of the method."""
    demand(claimed.method == asked["method"], f"the scenario asked for {asked['method']}")
    release, claim = claimed.release, claimed.claim
    certified = {
        "view": str(claim.view),
        "delta": claim.delta,
        "bound": claim.bound,
        "placement": release.placement,
        "allocation": claim.allocation,
        "gossip_rounds": release.gossip_rounds,
        "noise_source": release.noise_source,
    }
    for name, found in certified.items():
        if name in asked:
            demand(found == asked[name], f"{name} was asked to be {asked[name]}, not {found}")
    if asked.get("regime") is not None and claimed.claim.bound != "published":
        demand(
            claimed.claim.regime == asked["regime"],
            f"the regime was asked to be {asked['regime']}, not {claimed.claim.regime}",
        )
    depth = method.requested_depth(claimed.training.rounds)
    if depth is not None:
        demand(
            (claimed.release.checkpoint_round, claimed.release.descent_rounds) == depth,
            f"it was asked to restore and descend {depth} rounds",
        )
    wanted, published = asked.get("epsilon"), claimed.claim.bound == "published"
    if wanted is not None and claimed.claim.claimed_by is not None:
        reached = any(one is not None and one <= wanted * (1 + TOLERANCE) for one in _promised(claimed))
        demand(
            reached,
            f"epsilon {wanted} was asked for, {claimed.claim.claimed_epsilon} claimed, {claimed.epsilon} certified",
        )
    elif wanted is not None and not published:
        reached = claimed.epsilon is not None and claimed.epsilon <= wanted * (1 + TOLERANCE)
        demand(reached, f"epsilon {wanted} was asked for and {claimed.epsilon} is certified")
    if asked.get("sigma") is not None and claimed.release.mechanism.plain_descent:
        size = sqrt(float(np.mean(np.square(claimed.release.sigma))))
        demand(isclose(size, asked["sigma"], rel_tol=1e-6), f"sigma {asked['sigma']} was asked for, not {size:.6g}")


def _promised(claimed: Certificate) -> tuple[float | None, float | None]:
    """By the method's own formula, and by what is proved."""
    return claimed.claim.claimed_epsilon, claimed.epsilon


def _check_cost(method: MethodRecords, claimed: Certificate, learning: TrainingRun) -> None:
    """The cost that was counted against what the certificate says was done, on the network and data it says.

    Of other mechanisms than one noise at one place, the certificate does not tell which rounds were taken.
    """
    if not claimed.release.mechanism.plain_descent:
        return
    N, end = learning.mixing.nodes, claimed.release.checkpoint_round + claimed.release.descent_rounds
    rounds = claimed.release.descent_rounds + claimed.release.gossip_rounds
    matrices = [
        learning.mixing.matrix(t)
        for t in range(claimed.release.checkpoint_round, claimed.release.checkpoint_round + rounds)
    ]
    messages = sum(int(W.nnz - np.count_nonzero(W.diagonal())) for W in matrices)
    expected = {
        "rounds": rounds + claimed.release.averaged,
        "messages": messages + claimed.release.averaged * N * (N - 1),
        "gradients": sum(int(learning.gradients(t, True).sum()) for t in range(claimed.release.checkpoint_round, end)),
    }
    for name, value in expected.items():
        counted = method.metrics["cost"][name]
        demand(counted == value, f"{counted} {name} were counted; what the certificate speaks of takes {value}")


def _check_together(folder: RunFolder) -> None:
    """What is said to a reader of all releases of a method."""
    asked, requests = len(folder.scenario["unlearning"]), len(folder.learning["requests"])
    certified = [certificate_of(method) for method in folder.methods]
    expected = composed([certified[at::asked] for at in range(asked)]) if requests > 1 else []
    demand(same(folder.together, expected), "what all releases of a method tell together does not follow from them")


def _table_sentence(folder: RunFolder) -> str:
    """summary.json against certificates, audits and metrics."""
    for index, (row, method) in enumerate(zip(folder.summary, folder.methods, strict=True)):
        claimed, found = certificate_of(method), Audit.from_record(method.audit)
        expected = {
            "index": index,
            "request": request_of(folder, index),
            "method": claimed.method,
            "view": str(claimed.view),
            "noise": claimed.release.mechanism.noise_summary(claimed.release, claimed.claim),
            "epsilon_certified": claimed.epsilon,
            "epsilon_claimed": claimed.claim.claimed_epsilon,
            "claimed_by": claimed.claim.claimed_by,
            "mechanism": claimed.release.mechanism.kind,
            "epsilon_empirical": found.epsilon_empirical,
            "epsilon_lower_bound": found.monte_carlo and found.monte_carlo.epsilon_lower_bound,
            "holds": found.holds,
            "noise_audit": "no noise" if found.noise_audit.no_noise else found.noise_audit.status,
            "conditional": claimed.conditional,
            "sensitivity": max(claimed.sensitivity, default=None),
            "divergence": max(found.divergence),
            "distance_to_retrained": max(method.metrics["distance_to_retrained"]),
            "simulated_seconds": method.metrics["cost"]["simulated_seconds"],
        }
        for name, value in expected.items():
            demand(same(row[name], value), f"row {index} says {name} = {short(row[name])}; it is {short(value)}")
        for name, scores in row["accuracy"].items():
            nodes = method.metrics["accuracy"][name]["nodes"]
            alike = isclose(scores["mean"], sum(nodes) / len(nodes)) and scores["lowest"] == min(nodes)
            demand(alike, f"row {index} shows another accuracy on {name} than its metrics")
        for name, scores in (row.get("backdoor") or {}).items():
            nodes = method.metrics["backdoor"][name]["nodes"]
            alike = isclose(scores["mean"], sum(nodes) / len(nodes)) and scores["highest"] == max(nodes)
            demand(alike, f"row {index} shows another success of the backdoor {name} than its metrics")
        for name, statistics in (row.get("membership") or {}).items():
            for statistic, scores in statistics.items():
                of = method.metrics["membership"]["attacks"][name][statistic]
                alike = scores["worst"] == max(*of["nodes"], of["average_model"])
                alike = (
                    alike
                    and scores["average_model"] == of["average_model"]
                    and scores["client"] in (None, *of["nodes"])
                )
                demand(alike, f"row {index} shows another membership attack {name} than its metrics")
    _check_together(folder)
    return f"{len(folder.summary)} rows, as their certificates, audits and metrics have it"
