"""Describe a plan in sentences: which client is hardest to forget, and why."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.sensitivity.rounding import largest_norm
from rewindnet.experiments.plan.plan import Answer, Plan

#: The smallest ratio to the median at which a property of a client is given as a reason.
_NOTABLE = 1.15
#: The smallest ratio to the median requirement at which a client is called hard to forget.
_HARD = 1.05


def hardest_sentences(plan: Plan) -> list[str]:
    """Say which client is hardest to forget and why: one sentence for all rows with the same hardest client."""
    if len(plan.selection.clients) < 2:
        return []
    hardest: dict[int, list[Answer]] = {}
    for answer in plan.answers:
        if answer.order.size and answer.needed[answer.order[-1]] > 0:
            hardest.setdefault(int(answer.order[-1]), []).append(answer)
    return _unsolved_rows(plan) + [_hardest_sentence(plan, position, answers) for position, answers in hardest.items()]


def _unsolved_rows(plan: Plan) -> list[str]:
    """Name the rows that have no solution for some of the clients."""
    unsolved = [
        (answer.row, int(np.isnan(answer.sigma + answer.epsilon + answer.depth).sum())) for answer in plan.answers
    ]
    return [
        f"Row {row.index} has no solution for {count} of the {len(plan.selection.clients)} planned clients."
        for row, count in unsolved
        if count
    ]


def _hardest_sentence(plan: Plan, position: int, answers: Sequence[Answer]) -> str:
    """Compare the requirement of the hardest client with the median, for the rows with these answers."""
    client = plan.network.client(int(plan.selection.clients[position]))
    rows = ", ".join(str(answer.row.index) for answer in answers)
    times = [answer.needed[position] / np.nanmedian(answer.needed) for answer in answers]
    low, high = min(times), max(times)
    tied = [plan.network.client(int(plan.selection.clients[at])) for at in _tied(answers[0], position)]
    share = f"{low:.3g}" if high / low < 1.02 else f"{low:.3g} to {high:.3g}"
    if high < _HARD:
        return (
            f"No client is much harder to forget than another (row {rows}): "
            f"the hardest, client {client}, takes {share} times the median noise."
        )
    return (
        f"Hardest to forget (row {rows}): client {client}{_ties(tied)}, with {share} times the median noise. "
        f"{_reasons(plan, position, high)}"
    )


def _tied(answer: Answer, position: int) -> list[int]:
    """Return the positions of the other clients with the same requirement, to three digits."""
    same = [at for at in answer.order.tolist() if f"{answer.needed[at]:.3g}" == f"{answer.needed[position]:.3g}"]
    return sorted(at for at in same if at != position)


def _ties(tied: Sequence[str]) -> str:
    """Name the clients that are equally hard to forget."""
    return f" (as hard: {', '.join(tied[:3])}{' …' if len(tied) > 3 else ''})" if tied else ""


def _reasons(plan: Plan, position: int, times: float) -> str:
    """Say how much of the requirement is due to the data of a client, and how much to its place in the network."""
    facts = plan.facts
    data = facts.weight[position] / float(np.median(facts.weight))
    where = (
        f"degree {facts.degree[position]} (median {np.median(facts.degree):.3g}), "
        f"{facts.distance[position]:.3g} links to the others on average (median {np.median(facts.distance):.3g}), "
        f"{_mixes(facts.mixed[position])} (median {_median_mix(facts.mixed)})"
    )
    deletes = f"it deletes {facts.deleted[position]} of {facts.samples[position]} samples"
    if data > _NOTABLE and times / data > _NOTABLE:
        return (
            f"Its data explain a factor of {data:.3g} ({deletes}); its place in the network explains the rest: {where}."
        )
    if data > _NOTABLE:
        return f"Its data explain it ({deletes}, a factor of {data:.3g}); its place in the network: {where}."
    return f"Its place in the network explains it: {where}; {deletes}."


def _mixes(rounds: int) -> str:
    """Say when the messages of a client are mixed."""
    return "not mixed evenly when learning ends" if rounds < 0 else f"mixed evenly after {rounds} rounds"


def _median_mix(mixed: NDArray[np.int64]) -> str:
    """Return the median number of rounds to mix, as text."""
    median = np.median(np.where(mixed < 0, np.inf, mixed))
    return "not at all" if not np.isfinite(median) else f"{median:.3g}"


def noise_sentences(plan: Plan) -> list[str]:
    """Name the rows whose noise for the requesting client exceeds every model that learning can reach.

    The expected norm σ·√d of the noise is compared with a bound on ‖θ‖ that follows from the constants and the number
    of rounds, so this is known before learning. Smaller noise can still ruin a model.
    """
    training_run, d = plan.network.training_run, plan.network.model.parameters
    norm = largest_norm(training_run, training_run.rounds)
    left = [answer.sigma[0] * sqrt(d) * _noise_left(plan, answer) for answer in plan.answers]
    return [
        _noise_sentence(plan, answer, noise, norm)
        for answer, noise in zip(plan.answers, left, strict=True)
        if noise >= norm > 0
    ]


def settle_sentences(plan: Plan) -> list[str]:
    """Say how many gossip rounds each row that leaves their number open takes before its descent, and why."""
    rows: dict[int, list[str]] = {}
    for answer, mixed in zip(plan.answers, plan.mixed, strict=True):
        if mixed is not None and answer.row.settings["settle_first"] == "auto":
            rows.setdefault(mixed.settle_first, []).append(str(answer.row.index))
    return [
        f"settle_first: auto (row {', '.join(of)}) is {rounds} gossip rounds, chosen by the noise and the mixing "
        "matrices: no node then has more than 1.2 times the noise that half as many rounds as learning took would "
        "leave."
        for rounds, of in rows.items()
    ]


def _noise_left(plan: Plan, answer: Answer) -> float:
    """Return the share of a row's noise that the descent after it is forecast to leave; 1 without a forecast."""
    for forecast in plan.forecasts:
        if answer.row.placement == "rewind" and forecast.depth == answer.depth[0]:
            return forecast.noise["rewind"] / forecast.sigma["rewind"]
    return 1.0


def _noise_sentence(plan: Plan, answer: Answer, noise: float, norm: float) -> str:
    """Say how much noise a row leaves in a model, and how large a model can be.

    Args:
        plan: the plan.
        answer: the solution of the row.
        noise: σ·√d of the noise that is left, for the requesting client.
        norm: a bound on the norm of a model.
    """
    client = plan.network.client(int(plan.selection.clients[0]))
    return (
        f"Noise larger than the model (row {answer.row.index}): for client {client} noise of norm σ·√d = {noise:.3g} "
        f"is left in every model, and no model can reach a norm above {norm:.3g} in "
        f"{plan.network.training_run.rounds} rounds. Expect released models of no use; a larger ε, a deeper rewind, "
        "fewer deleted samples, or a stronger l2 lowers the noise."
    )


def basis_sentence(plan: Plan) -> str:
    """Say which constants the figures of a plan are based on."""
    training_run = plan.network.training_run
    constants = training_run.constants
    basis = (
        f"{_bounds(plan)} from the constants alone: G = {constants.G.value:.4g}, L = {constants.L.value:.4g} "
        f"({constants.G.provenance}), step size {training_run.step_size:g}, {training_run.order}, "
        f"T = {training_run.rounds}."
    )
    return basis + (" Conditional: it holds only if these constants do." if constants.conditional else "")


def _bounds(plan: Plan) -> str:
    """Name the bounds that a plan uses."""
    if "published" not in plan.requirements:
        return "Worst-case bound"
    return "Published bound" if len(plan.requirements) == 1 else "Worst-case bound and published bound"


def easiest_sentences(plans: Sequence[Plan], keys: Sequence[str]) -> list[str]:
    """Name the plans whose hardest client needs the least noise; plans within 5 % of the least are all named.

    Args:
        plans: the plans of a comparison.
        keys: the settings in which they differ.

    Returns:
        One sentence for all rows with the same best plans.
    """
    sentences: dict[str, list[str]] = {}
    for at, answer in enumerate(plans[0].answers):
        worst = np.array([worst_needed(plan.answers[at]) for plan in plans])
        if not np.isfinite(worst).any() or np.nanmax(worst) == 0:
            continue
        close = np.flatnonzero(worst <= _HARD * np.nanmin(worst))
        names = " and ".join(plan_name(plans[best], keys) for best in close.tolist())
        winners = "all plans are about equal" if len(close) == len(plans) else names
        sentences.setdefault(winners, []).append(str(answer.row.index))
    return [f"Least noise for the hardest client (row {', '.join(rows)}): {who}." for who, rows in sentences.items()]


def plan_name(plan: Plan, keys: Sequence[str]) -> str:
    """Name a plan of a comparison by the settings in which the plans differ."""
    return ", ".join(f"{key} {plan.point[key]}" for key in keys)


def worst_needed(answer: Answer) -> float:
    """Return σ·μ of the hardest client; NaN if some client has no finite requirement."""
    return float(np.max(answer.needed))
