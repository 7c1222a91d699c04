"""Describe a run in sentences, for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewindnet.certificates import Audit, Certificate, Constant, TrainingRun
from rewindnet.certificates.digits import rounded_up
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.best import best_said
from rewindnet.experiments.scenario.names import client_title

_ORDERS = {
    "adapt-then-combine": "first every client takes a step on its own data, then it averages with its neighbours",
    "combine-then-adapt": "first every client averages with its neighbours, then it takes a step on its own data",
    "consensus-plus-gradient": "every client averages with its neighbours and adds a step taken at its own old model",
}
_PROVENANCE = {
    "proven": "proven from the model and the enforced feature norm",
    "enforced": "enforced while learning",
    "estimated": "estimated from data",
    "declared": "declared by the user",
    "unknown": "not known",
}


def setting(run: RunFolder) -> str:
    """Describe the data, the network, the model and the rounds of learning."""
    graph, learning = run.network
    scenario, topology = run.scenario, run.scenario["topology"]
    samples = learning.samples
    each = f"{samples.min():,}" if samples.min() == samples.max() else f"{samples.min():,} to {samples.max():,}"
    sometimes = _schedule(topology["schedule"])
    details = _settings(topology, "kind", "mixing", "schedule")
    steps = "one local step" if learning.local_steps == 1 else f"{learning.local_steps} local steps"
    return (
        f"{len(graph):,} clients hold {samples.sum():,} samples of {scenario['data']['source']} "
        f"({scenario['partition']['kind']} partition, {each} each) and never share them. "
        f"They are linked by the topology {topology['kind']}{details} with {graph.number_of_edges():,} links and "
        f"{topology['mixing']['kind']} averaging{sometimes}; its spectral gap, which says how quickly news "
        f"spreads (0: never, 1: at once), is {run.topology['spectral_gap']:.3g}. Together they learned a "
        f"model of the kind {scenario['model']['kind']} in {learning.rounds:,} rounds of {steps} of size "
        f"{learning.step_size:g}: {_ORDERS[learning.order]}{_learning_details(scenario['learning'])}."
    )


def _learning_details(learning: Mapping[str, Any]) -> str:
    """Describe a walk, minibatches and a projection, where the scenario uses them."""
    details = ""
    if learning["kind"] == "walk":
        details += f"; one model walked from node to node ({learning['rule']}), and a round is a hop of it"
    sampling = learning["sampling"]
    if sampling["kind"] != "full":
        details += f"; each step read a minibatch, {sampling['kind']}{_settings(sampling, 'kind')}"
    if learning["radius"] is not None:
        details += f"; models were projected onto a ball of radius {learning['radius']:g}"
    if learning.get("client_clip") is not None:
        details += f"; every client clipped its gradient to norm {learning['client_clip']:g}, by the Lipschitz envelope"
    return details


def _schedule(schedule: Mapping[str, Any]) -> str:
    """Describe the schedule of the links; empty if all links are active in every round."""
    if schedule["kind"] == "static":
        return ""
    return f", not all of them in every round (schedule {schedule['kind']}{_settings(schedule, 'kind')})"


def _deletions(learning: TrainingRun, names: Sequence[str] | None) -> str:
    """Describe how many samples each client deleted with a request, without those of earlier requests."""
    fresh = learning.deleted - learning.already_deleted(learning.rounds)
    return " and ".join(
        f"client {client_title(node, names)} deleted {'all' if m == n else f'{m:,}'} of its {n:,} "
        f"sample{'s' if n > 1 else ''}"
        for node, (m, n) in enumerate(zip(fresh.tolist(), learning.samples.tolist(), strict=True))
        if m
    )


def request(run: RunFolder) -> str:
    """Describe the deletion requests, and what a certificate means."""
    deletions = [_deletions(learning, run.names) for learning in run.history[1]]
    if len(deletions) > 1:
        rounds = [f"after round {learning.rounds:,} " for learning in run.history[1]]
        deletions = [when + what for when, what in zip(rounds, deletions, strict=True)]
    departed = " and left the network" if run.history[1][-1].departed else ""
    return (
        f"Then {'; '.join(deletions)}{departed}. The network must now release models that cannot be distinguished from "
        "models that were learned without these samples. A certificate bounds how well they can be distinguished: the "
        "smaller its ε, the harder it is, and ε = 0 is retraining from scratch."
    )


def account(certificate: Certificate) -> str:
    """Describe what a method did."""
    return certificate.release.mechanism.describe(certificate.release, certificate.training.rounds)


def verdict(run: RunFolder) -> list[str]:
    """Say whether all certificates hold, and which method is best; violated certificates come first."""
    broken = run.violations
    if broken:
        count = f"{len(broken)} of {len(run.certified)} certificates VIOLATED:"
        return [count, *(f"{sentence[0].upper()}{sentence[1:]}" for sentence in broken)]
    if not certified_rows(run):
        exact = " but retraining" if any(row["method"] == Retrain.name for row in run.summary) else ""
        return [f"Nothing is certified: no method of this run{exact} has a finite ε.", _measured(run)]
    hold = "All certificates hold: retraining found no node beyond its sensitivity and no ε beyond the certified one."
    return [hold, best_said(run)]


def certified_rows(run: RunFolder) -> list[Mapping[str, Any]]:
    """List the rows with a finite certified ε of methods other than retraining, which is what all compare with."""
    return [row for row in run.summary if row["epsilon_certified"] is not None and row["method"] != Retrain.name]


def _measured(run: RunFolder) -> str:
    """Say that what a run without certificates shows is measurements."""
    reasons = [row["reason"] for row in run.summary if row["reason"]]
    why = f" The reason in the first row: {reasons[0]}." if reasons else ""
    return f"What the tables show of these methods was measured, and proves nothing about other data.{why}"


def reservations(run: RunFolder) -> list[str]:
    """Say what keeps the certificates of a run from protecting a person: noise from a seed, or noise unmeasured."""
    added = [certificate for certificate, _ in run.certified if any(certificate.release.sigma)]
    seeded = sum(certificate.release.noise_source == "seed" for certificate in added)
    audits = [found.noise_audit for _, found in run.certified]
    unmeasured = sum(audit.status == "unchecked" and not audit.no_noise for audit in audits)
    said = []
    if seeded:
        said.append(
            "This is a simulation: noise was drawn from the seed and can be drawn again, so nothing here protects the "
            "data of a real person."
        )
    if unmeasured:
        said.append(f"The noise of {unmeasured} of {len(run.certified)} releases is unchecked.")
    return said


def _settings(section: Mapping[str, Any], *without: str) -> str:
    said = [f"{key} {value}" for key, value in section.items() if key not in without and value is not None]
    return f" ({', '.join(said)})" if said else ""


def constants(certificate: Certificate) -> Sequence[tuple[str, str]]:
    """List the name of each constant, and its value with its provenance."""
    values = certificate.training.constants
    named: tuple[tuple[str, Constant], ...] = (
        ("R, largest feature norm", values.radius),
        ("G, largest gradient of a sample", values.G),
        ("L, smoothness", values.L),
        ("l2, regularisation", values.l2),
        ("curvature, at least", values.strong_convexity),
    )
    return [(name, _constant(constant)) for name, constant in named]


def _constant(constant: Constant) -> str:
    """Say what a constant is, and where it comes from."""
    value = "" if constant.provenance == "unknown" else f"{constant.value:.6g}, "
    return value + _PROVENANCE[constant.provenance]


def outcome(certificate: Certificate, found: Audit, names: Sequence[str] | None) -> str:
    """Describe a certificate and its audit."""
    observer = certificate.view.observer_among(names)
    if certificate.epsilon is None:
        said = f"Nothing can be claimed against {observer}: {certificate.reason}."
    elif certificate.epsilon == 0:
        said = f"Exactly retraining: {observer} cannot distinguish anything (ε = 0)."
    else:
        said = f"ε = {rounded_up(certificate.epsilon, 4)} at δ = {certificate.delta:g} against {observer}."
        if certificate.data_dependent_noise:
            said += " Per-instance: it was computed from measurements of this data."
        if certificate.conditional and certificate.training.constants.conditional:
            said += " Conditional on its estimated or declared constants."
    measured = "infinite" if found.epsilon_empirical is None else f"{found.epsilon_empirical:.4g}"
    sample = found.monte_carlo
    more = "" if sample is None else f", of which samples of the noise show at least {sample.epsilon_lower_bound:.3g}"
    state = "The audit confirms it" if found.holds else "The audit finds it VIOLATED"
    return f"{said} {state}: the empirical ε of this pair of runs is {measured}{more}. {noise_found(found)}"


def noise_found(found: Audit) -> str:
    """Return what the audit of the noise that was added has found, as a sentence."""
    noise = found.noise_audit
    said = {"holds": "The noise holds", "violated": "The noise is VIOLATED", "unchecked": "The noise is unchecked"}
    return f"{said[noise.status]}: {noise.sentence}."


def sampled(found: Audit) -> str:
    """Describe the Monte-Carlo audit."""
    sample = found.monte_carlo
    if sample is None:
        return "none drawn"
    counts = "; ".join(
        f"above {threshold:g}: {true:,} unlearned, {false:,} retrained"
        for threshold, true, false in zip(sample.thresholds, sample.true_positives, sample.false_positives, strict=True)
    )
    return (
        f"{sample.draws:,} draws, {sample.counted:,} of them counted in each world; {counts}; "
        f"ε at least {sample.epsilon_lower_bound:.4g} at confidence {sample.confidence:g}"
    )


def cost(counted: Mapping[str, float], share: Mapping[str, float]) -> str:
    """Describe the cost of a release: what was counted, and as a share of retraining."""
    told = [f"{counted[what]:,.4g} {what} ({100 * share[what]:.0f} % of retraining)" for what in share]
    gossip = int(counted.get("gossip_rounds", 0))
    told += [f"{gossip:,} of the rounds are gossip that reads no data"] if gossip else []
    if counted.get("evaluations", 0) > counted["gradients"]:
        told.append("gradients are one for each sample and local step, evaluations those of inner problems included")
    return ", ".join(told)
