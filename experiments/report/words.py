"""A run in plain words, for readers of the report who do not read tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewindnet.certificates import Audit, Certificate, Constant, TrainingRun, violation
from rewindnet.experiments.folder.reader import RunFolder

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
}


def against(view: str) -> str:
    """Who is kept from telling, in the words of someone who is not of the field."""
    kind, _, node = view.partition(":")
    return {
        "node": f"whoever sees the released model of node {node}" if node else "whoever sees any one released model",
        "joint": "whoever sees all released models together",
        "average": "whoever sees the released network average",
        "transcript": {
            "": "any one peer, with every message that it received during the unlearning",
            "all": "all peers together, with every message of the unlearning",
        }.get(node, f"node {node}, with every message that it received during the unlearning"),
    }.get(kind, f"the view {view}")


def setting(run: RunFolder) -> str:
    """Who learned what from which data, over which network."""
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
        f"{scenario['model']['kind']} model in {learning.rounds:,} rounds of {steps} of size {learning.step_size:g}: "
        f"{_ORDERS[learning.order]}{_habits(scenario['learning'])}."
    )


def _habits(learning: Mapping[str, Any]) -> str:
    """What is unusual about the rounds."""
    said = ""
    if learning["kind"] == "walk":
        said += f"; one model walked from node to node ({learning['rule']}), and a round is a hop of it"
    sampling = learning["sampling"]
    if sampling["kind"] != "full":
        said += f"; each step read a minibatch, {sampling['kind']}{_settings(sampling, 'kind')}"
    if learning["radius"] is not None:
        said += f"; models were projected onto a ball of radius {learning['radius']:g}"
    return said


def _schedule(schedule: Mapping[str, Any]) -> str:
    """What of the links is there in which round."""
    if schedule["kind"] == "static":
        return ""
    return f", not all of them in every round (schedule {schedule['kind']}{_settings(schedule, 'kind')})"


def _taken_back(learning: TrainingRun) -> str:
    """Who deleted how much with a request, beyond what earlier ones had deleted."""
    fresh = learning.deleted - learning.already_deleted(learning.rounds)
    return " and ".join(
        f"client {node} took back {'all' if m == n else f'{m:,} of'} its {n:,} samples"
        for node, (m, n) in enumerate(zip(fresh.tolist(), learning.samples.tolist(), strict=True))
        if m
    )


def request(run: RunFolder) -> str:
    """Who deletes what, and what is asked of the answer."""
    said = [_taken_back(learning) for learning in run.history[1]]
    if len(said) > 1:
        rounds = [f"after round {learning.rounds:,} " for learning in run.history[1]]
        said = [when + what for when, what in zip(rounds, said, strict=True)]
    departed = " and left the network" if run.history[1][-1].departed else ""
    return (
        f"Then {'; '.join(said)}{departed}. The network must now release models that nobody can tell from models that "
        "were learned without these samples. A certificate says how nearly that is so: the smaller its ε, the less "
        "can be told, and ε = 0 is retraining from scratch."
    )


#: What mechanisms do that do not add noise once, at one place.
_DEEDS = {
    "uncertified": "{deed}",
    "gossip-dp": "had learned with {noise} on every clipped gradient from the start, so that nothing was left to do",
    "walk-dp": (
        "had learned by one model that walked from client to client, with {noise} at every hop, so that nothing was "
        "left to do"
    ),
    "rr-du": (
        "sent the model of node {node} round the network for {hops:,} steps, {visits:,} of them its own, with {noise} "
        "in those, and gave the last to everybody"
    ),
    "noisy-finetune": (
        "ran {descent_rounds:,} rounds of clipped descent at every client by itself, with {noise} in each"
    ),
    "langevin": "ran {descent_rounds:,} rounds on the retained data with {noise} in each",
    "newton": (
        "corrected all models by a Newton step of {rounds:,} rounds, added {noise}, and ran {descent_rounds:,} more"
    ),
    "newton-shared-noise": (
        "corrected all models by a Newton step of {rounds:,} rounds, added one vector of {noise} to all, and ran "
        "{descent_rounds:,} more"
    ),
}


def _numbers(certificate: Certificate) -> dict[str, Any]:
    """What the words about a mechanism may need beside its own record."""
    sigma, record = certificate.sigma, certificate.mechanism
    holders, works = record.get("holders", ()), record.get("works", ())
    return {
        "noise": f"noise of σ = {max(sigma):.3g}" if any(sigma) else "no noise",
        "descent_rounds": certificate.descent_rounds,
        "hops": sum(works),
        "visits": sum(acts and holder == record["node"] for holder, acts in zip(holders, works, strict=False)),
    }


def deed(certificate: Certificate) -> str:
    """What a method did."""
    told = _DEEDS.get(certificate.mechanism["kind"])
    if told is not None:
        return told.format(**{**certificate.mechanism, **_numbers(certificate)})
    if certificate.checkpoint_round == certificate.rounds:
        start = "started from the learned model"
    elif certificate.checkpoint_round == 0:
        start = "went back to the initial model"
    else:
        share = certificate.rewound / certificate.rounds
        start = f"rewound {certificate.rewound:,} of {certificate.rounds:,} rounds ({100 * share:.0f} %)"
    descent = (
        f"ran {certificate.descent_rounds:,} rounds on the retained data"
        if certificate.descent_rounds
        else "ran no rounds"
    )
    return f"{start}, {descent}, {_noise(certificate)}"


def verdict(run: RunFolder) -> list[str]:
    """Do the certificates hold, and what is the best that they allow: sentences, the alarming ones first."""
    broken = [violation(certificate, found) for certificate, found in run.certified if not found.holds]
    if broken:
        held = f"{len(broken)} of {len(run.certified)} certificates VIOLATED:"
        return [held, *(f"{sentence[0].upper()}{sentence[1:]}" for sentence in broken)]
    kept = "All certificates hold: retraining caught no node beyond its sensitivity and no ε beyond the certified one."
    return [kept, _best(run)]


def asked_epsilon(run: RunFolder) -> float:
    """The ε that the scenario asks of its methods: the largest that one of them names, or claims."""
    named = [method["epsilon"] for method in run.scenario["unlearning"] if method.get("epsilon") is not None]
    claimed = [row["epsilon_claimed"] for row in run.summary if row["epsilon_claimed"]]
    return float(max(named or claimed or [1.0]))


def _best(run: RunFolder) -> str:
    wanted = asked_epsilon(run)
    # Retraining from the start is what every method is measured against.
    able = [row for row in run.summary if _reaches(row, wanted) and row["sensitivity"] != 0]
    if not able:
        return f"No method but retraining reaches ε = {wanted:g}."
    best = max(able, key=_accuracy)
    said = f"At ε ≤ {wanted:g} the most accurate is {_who(best)}, certified against {against(best['view'])}"
    hidden = [row for row in able if row["view"].startswith("transcript")]
    if hidden and best not in hidden:
        strongest = max(hidden, key=_accuracy)
        said += f"; against {against(strongest['view'])} it is {_who(strongest)}"
    exact = [row for row in run.summary if row["method"] == "retrain"]
    return said + (f". Retraining reaches {100 * _accuracy(exact[0]):.1f} %." if exact else ".")


def _reaches(row: Mapping[str, Any], wanted: float) -> bool:
    return row["epsilon_sound"] is not None and row["epsilon_sound"] <= wanted * (1 + 1e-9)


def _accuracy(row: Mapping[str, Any]) -> float:
    return float(row["accuracy"]["test"]["mean"])


def _who(row: Mapping[str, Any]) -> str:
    depth = f" at {100 * row['rewind']:.0f} % rewind" if row["rewind"] else ""
    return f"method {row['index']} ({row['method']}{depth}, {row['bound']} bound) with {100 * _accuracy(row):.1f} %"


def _noise(certificate: Certificate) -> str:
    sigma = certificate.sigma
    if not any(sigma):
        return "and added no noise"
    size = f"σ = {max(sigma):.3g}" if min(sigma) == max(sigma) else f"σ from {min(sigma):.3g} to {max(sigma):.3g}"
    where = "the average of all models" if certificate.averaged else "every model that it releases"
    if certificate.placement == "rewind":
        where = "every checkpoint before these rounds"
    settled = (
        f", then averaged with neighbours for {certificate.gossip_rounds} more rounds"
        if certificate.gossip_rounds
        else ""
    )
    return f"and added noise of {size} to {where}{settled}"


def _settings(section: Mapping[str, Any], *without: str) -> str:
    said = [f"{key} {value}" for key, value in section.items() if key not in without and value is not None]
    return f" ({', '.join(said)})" if said else ""


def constants(certificate: Certificate) -> Sequence[tuple[str, str]]:
    """Every constant: its name, and its value with where it comes from."""
    held = certificate.constants
    named: tuple[tuple[str, Constant], ...] = (
        ("R, largest feature norm", held.radius),
        ("G, largest gradient of a sample", held.G),
        ("L, smoothness", held.L),
        ("l2, regularisation", held.l2),
        ("curvature, at least", held.strong_convexity),
    )
    return [(name, f"{constant.value:.6g}, {_PROVENANCE[constant.provenance]}") for name, constant in named]


def outcome(certificate: Certificate, found: Audit) -> str:
    """The certificate and its audit in a sentence or two."""
    whom = against(certificate.view)
    if certificate.epsilon is None:
        said = f"Nothing can be claimed against {whom}: {certificate.reason}."
    elif certificate.epsilon == 0:
        said = f"Exactly retraining: {whom} can tell nothing (ε = 0)."
    else:
        said = f"ε = {certificate.epsilon:.4g} at δ = {certificate.delta:g} against {whom}."
        said += " Conditional on its estimated or declared constants." if certificate.conditional else ""
    measured = "infinite" if found.exact_epsilon is None else f"{found.exact_epsilon:.4g}"
    sample = found.monte_carlo
    more = "" if sample is None else f", and samples of the noise alone prove at least {sample.epsilon_lower:.3g} of it"
    state = "The audit confirms it" if found.holds else "The audit finds it VIOLATED"
    return f"{said} {state}: the exact ε of this pair of runs is {measured}{more}."


def sampled(found: Audit) -> str:
    """The Monte-Carlo audit."""
    sample = found.monte_carlo
    if sample is None:
        return "none drawn"
    caught = "; ".join(
        f"above {threshold:g}: {true:,} unlearned, {false:,} retrained"
        for threshold, true, false in zip(sample.thresholds, sample.true_positives, sample.false_positives, strict=True)
    )
    return (
        f"{sample.draws:,} draws, {sample.counted:,} of them counted in each world; {caught}; "
        f"ε at least {sample.epsilon_lower:.4g} at confidence {sample.confidence:g}"
    )
