"""A plan in sentences: which client is hardest to forget, and why."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewindnet.experiments.plan.plan import Answer, Plan

#: By how much a client must differ from the median before a sentence makes a reason of it.
_NOTABLE = 1.15
#: And by how much before it is called hard to forget at all.
_HARD = 1.05


def verdicts(plan: Plan) -> list[str]:
    """Say which client is hardest to forget and why, in one sentence for all rows that agree."""
    if len(plan.selection.clients) < 2:
        return []
    hardest: dict[int, list[Answer]] = {}
    for answer in plan.answers:
        if answer.order.size and answer.needed[answer.order[-1]] > 0:
            hardest.setdefault(int(answer.order[-1]), []).append(answer)
    return _refused(plan) + [_verdict(plan, position, answers) for position, answers in hardest.items()]


def _refused(plan: Plan) -> list[str]:
    """Name the rows by which some client cannot be promised anything."""
    lost = [(answer.row, int(np.isnan(answer.sigma + answer.epsilon + answer.depth).sum())) for answer in plan.answers]
    return [
        f"Row {row.index} promises nothing to {count} of the {len(plan.selection.clients)} clients planned."
        for row, count in lost
        if count
    ]


def _verdict(plan: Plan, position: int, answers: Sequence[Answer]) -> str:
    """Say how much harder than the median the client at a position is, by the rows with these answers."""
    client = int(plan.selection.clients[position])
    rows = ", ".join(str(answer.row.index) for answer in answers)
    times = [answer.needed[position] / np.nanmedian(answer.needed) for answer in answers]
    low, high = min(times), max(times)
    tied = [int(plan.selection.clients[at]) for at in _tied(answers[0], position)]
    share = f"{low:.3g}" if high / low < 1.02 else f"{low:.3g} to {high:.3g}"
    if high < _HARD:
        return (
            f"No client is much harder to forget than another (row {rows}): "
            f"the hardest, client {client}, takes {share} times the median noise."
        )
    return (
        f"Hardest to forget (row {rows}): client {client}{_too(tied)}, with {share} times the median noise. "
        f"{_reasons(plan, position, high)}"
    )


def _tied(answer: Answer, position: int) -> list[int]:
    """Return the positions of the other clients that need as much, to three digits."""
    same = [at for at in answer.order.tolist() if f"{answer.needed[at]:.3g}" == f"{answer.needed[position]:.3g}"]
    return sorted(at for at in same if at != position)


def _too(tied: Sequence[int]) -> str:
    return f" (as hard: {', '.join(map(str, tied[:3]))}{' …' if len(tied) > 3 else ''})" if tied else ""


def _reasons(plan: Plan, position: int, times: float) -> str:
    """Say how much of it is due to the client's data, and how much to its place in the network."""
    facts = plan.facts
    data = facts.weight[position] / float(np.median(facts.weight))
    where = (
        f"degree {facts.degree[position]} (median {np.median(facts.degree):.3g}), "
        f"{facts.distance[position]:.3g} links to the others on average (median {np.median(facts.distance):.3g}), "
        f"{_mixes(facts.mixed[position])} (median {_median_mix(facts.mixed)})"
    )
    deletes = f"it deletes {facts.deleted[position]} of {facts.samples[position]} samples"
    if data > _NOTABLE and times / data > _NOTABLE:
        return f"Its data explain a factor of {data:.3g} ({deletes}), its place in the network the rest: {where}."
    if data > _NOTABLE:
        return f"Its data explain it ({deletes}, a factor of {data:.3g}); its place: {where}."
    return f"It is its place in the network: {where}; {deletes}."


def _mixes(rounds: int) -> str:
    return "not mixed evenly when learning ends" if rounds < 0 else f"mixed evenly after {rounds} rounds"


def _median_mix(mixed: NDArray[np.int64]) -> str:
    median = np.median(np.where(mixed < 0, np.inf, mixed))
    return "not at all" if not np.isfinite(median) else f"{median:.3g}"


def promise(plan: Plan) -> str:
    """Say what the plan's figures are based on."""
    training_run = plan.network.training_run
    constants = training_run.constants
    basis = (
        f"Worst-case bound from the constants alone: G = {constants.G.value:.4g}, L = {constants.L.value:.4g} "
        f"({constants.G.provenance}), step size {training_run.step_size:g}, {training_run.order}, "
        f"T = {training_run.rounds}."
    )
    return basis + (" Conditional: it holds if the estimated constants do." if constants.conditional else "")


def kindest(plans: Sequence[Plan], keys: Sequence[str]) -> list[str]:
    """Name the plans with the least noise for their hardest client, to a twentieth, in one sentence for each result."""
    sentences: dict[str, list[str]] = {}
    for at, answer in enumerate(plans[0].answers):
        worst = np.array([worst_needed(plan.answers[at]) for plan in plans])
        if not np.isfinite(worst).any() or np.nanmax(worst) == 0:
            continue
        close = np.flatnonzero(worst <= _HARD * np.nanmin(worst))
        names = " and ".join(name_of(plans[best], keys) for best in close.tolist())
        winners = "none: all are about alike" if len(close) == len(plans) else names
        sentences.setdefault(winners, []).append(str(answer.row.index))
    return [f"Kindest to its hardest client (row {', '.join(rows)}): {who}." for who, rows in sentences.items()]


def name_of(plan: Plan, keys: Sequence[str]) -> str:
    """Name a plan among others by the settings that vary."""
    return ", ".join(f"{key} {plan.point[key]}" for key in keys)


def worst_needed(answer: Answer) -> float:
    """Return σ·μ of the hardest client; NaN if some client gets no number at all."""
    return float(np.max(answer.needed))
