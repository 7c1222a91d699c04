"""Print plans on the terminal."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS
from rewindnet.experiments.fitting import print_fitting, print_sentences
from rewindnet.experiments.plan.healing import NoiseAfterMixing
from rewindnet.experiments.plan.placement import placement_sentences
from rewindnet.experiments.plan.plan import VIEWS, Answer, Plan, epsilon_by_depth
from rewindnet.experiments.plan.rows import Row
from rewindnet.experiments.plan.words import (
    basis_sentence,
    easiest_sentences,
    hardest_sentences,
    noise_sentences,
    settle_sentences,
)
from rewindnet.experiments.report.vacuous import vacuous_sentences

#: The numbers of hardest and easiest clients in the table of clients.
_HARDEST, _EASIEST = 6, 3


def print_plan(plan: Plan, console: Console) -> None:
    """Print the noise of each row, the noise against depth, and the hardest and easiest clients."""
    scenario, rounds = plan.network.scenario, plan.network.training_run.rounds
    requesting = plan.network.client(plan.network.requesting)
    _print_answers([plan], [], f"{scenario.name}: what its r2d rows take; client {requesting} asks", console)
    for basis in plan.requirements:
        bound = " by the published bound" if basis == "published" else ""
        title = f"client {requesting}: σ against depth{bound}, uniform | optimal ({_target(plan)})"
        _print_depths(plan, basis, title, console)
    if noisy_rows(plan):
        title = f"client {requesting}: ε against depth, for the noise of the rows that state σ"
        _print_epsilons(plan, title, console)
    if len(plan.selection.clients) > 1:
        left_out = len(plan.selection.clients) - len(shown_clients(plan))
        others = f" ({left_out} between them are not shown)" if left_out else ""
        _print_clients(plan, f"clients, hardest first{others}: what each row takes", console)
    print_sentences(console, (*hardest_sentences(plan), *noise_sentences(plan), *settle_sentences(plan)))
    print_sentences(console, placement_sentences(plan.forecasts, rounds, *plan.target))
    print_sentences(console, (plan.selection.sentence, basis_sentence(plan), *plan.notes, *_legend(plan)))
    if plan.network.nodes > 1 and plan.selection.descent_rounds != plan.selection.rewound:
        sentence = (
            "Placement output is planned at the depths of the rows only: every other depth would cost K rounds more."
        )
        print_sentences(console, (sentence,))


def print_comparison(plans: Sequence[Plan], keys: Sequence[str], console: Console) -> None:
    """Print several plans side by side."""
    name = plans[0].network.scenario.name
    _print_answers(plans, keys, f"{name}: {len(plans)} plans", console)
    notes = list(dict.fromkeys(note for plan in plans for note in plan.notes))
    print_sentences(console, (*easiest_sentences(plans, keys), *_legend(plans[0]), *notes))


def _print_rows(
    console: Console,
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    expendable: Sequence[str],
    left: int = 0,
) -> None:
    """Print rows as a table; the first `left` columns are aligned to the left, the others to the right."""
    columns = [(heading, [row[at] for row in rows]) for at, heading in enumerate(headings)]
    print_fitting(console, title, columns, last=expendable, words=headings[:left])


def _print_answers(plans: Sequence[Plan], keys: Sequence[str], title: str, console: Console) -> None:
    """Print the table of the solutions: a line for each row of each plan."""
    headings = (*keys, "row", "view", "noise", "rewind", "ε", "δ", "asks", "easiest", "median", "hardest")
    rows = [
        [*(plan.point[key] for key in keys), *_answer(plan, plan.answers[at], plan.mixed[at])]
        for at in range(len(plans[0].answers))
        for plan in plans
    ]
    expendable = ("median", "bytes", "gradients", "easiest", "δ", "noise", "noise left", "view", "rewind")
    _print_rows(console, title, (*headings, "noise left", "gradients", "bytes"), rows, expendable, len(keys) + 3)


def _answer(plan: Plan, answer: Answer, mixed: NoiseAfterMixing | None) -> list[str]:
    """Make the line of one row of the scenario in one plan."""
    row, clients, order = answer.row, plan.selection.clients, answer.order
    T = plan.network.training_run.rounds
    extremes = ["—", "—", "—"]
    if len(order) and len(clients) > 1:
        texts = [solved_value(answer, position, T) for position in order.tolist()]
        ends = [f"{texts[at]} (client {plan.network.client(int(clients[order[at]]))})" for at in (0, -1)]
        median = texts[len(texts) // 2]
        extremes = ["all alike", texts[0], "all alike"] if answer.alike else [ends[0], median, ends[1]]
    cost = None if np.isnan(answer.depth[0]) else plan.cost[int(answer.depth[0])]
    return [
        str(row.index),
        row.view.titled(plan.network.topology.names),
        f"{row.placement} {row.allocation}",
        "?" if row.depth is None else _percent(row.depth / T),
        "?" if row.epsilon is None else f"{row.epsilon:g}",
        f"{row.delta:g}",
        solved_value(answer, 0, T),
        *extremes,
        "—" if mixed is None else f"{mixed.noise:.3g} (even {mixed.even:.3g})",
        "—" if cost is None else _percent(cost["gradients"]) + _gossip(mixed),
        "—" if cost is None else _percent(cost["bytes"]),
    ]


def _gossip(mixed: NoiseAfterMixing | None) -> str:
    """Return how many gossip rounds a row takes besides, as in the table of a run."""
    return "" if mixed is None or not mixed.gossip_rounds else f" + {mixed.gossip_rounds} gossip"


def solved_value(answer: Answer, position: int, rounds: int) -> str:
    """Return the σ, ε or depth that a row asks for, for the client at a position, as text.

    Args:
        answer: the solution of the row.
        position: the position of the client among the planned clients.
        rounds: T.
    """
    row = answer.row
    if row.sigma is None:
        return _number("σ", answer.sigma[position])
    if row.epsilon is None:
        value = answer.epsilon[position]
        return "—" if np.isnan(value) else f"ε {rounded_up(value)}"
    return "—" if np.isnan(answer.depth[position]) else f"rewind {_percent(answer.depth[position] / rounds)}"


def _number(what: str, value: float) -> str:
    return "—" if np.isnan(value) else f"{what} {value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _target(plan: Plan) -> str:
    epsilon, delta = plan.target
    return f"ε = {epsilon:g}, δ = {delta:g}"


def noisy_rows(plan: Plan) -> list[Row]:
    """Return the rows that state σ and a depth, and ask for ε."""
    return [answer.row for answer in plan.answers if answer.row.epsilon is None]


def _print_epsilons(plan: Plan, title: str, console: Console) -> None:
    """Print the table of ε against depth for the requesting client."""
    noisy, lines = noisy_rows(plan), []
    columns = [epsilon_by_depth(plan, row) for row in noisy]
    for at, depth in enumerate(plan.depths):
        share = _percent(depth / plan.network.training_run.rounds)
        cells = ["—" if np.isnan(column[at]) else rounded_up(column[at]) for column in columns]
        lines.append([share, _percent(plan.cost[depth]["gradients"]), *cells])
    labels = [noisy_label(row) for row in noisy]
    _print_rows(console, title, ("rewind", "gradients", *labels), lines, ("gradients", *reversed(labels[1:])))


def noisy_label(row: Row) -> str:
    """Describe a row that states σ: its number, its bound, σ and δ."""
    return f"row {row.index}, {row.bound}: σ = {row.sigma:g}, δ = {row.delta:g}"


def _print_depths(plan: Plan, basis: str, title: str, console: Console) -> None:
    """Print the table of σ against depth for the requesting client, by one bound."""
    headings = [f"output: {view}" for view in VIEWS[:3]] + ["rewind: one peer", "rewind: all messages"]
    rows = []
    sigma = plan.sigma(basis, 0, *plan.target)
    for at, depth in enumerate(plan.depths):
        cost = plan.cost[depth]
        cells = [sigma[PLACEMENTS.index("output"), at, VIEWS.index(view)] for view in VIEWS[:3]]
        cells += [sigma[PLACEMENTS.index("rewind"), at, VIEWS.index(view)] for view in VIEWS[3:]]
        shares = [
            _percent(depth / plan.network.training_run.rounds),
            _percent(cost["gradients"]),
            _percent(cost["bytes"]),
        ]
        rows.append([*shares, *map(_pair, cells)])
    expendable = ("bytes", "gradients", "output: average", "rewind: one peer", "output: joint")
    _print_rows(console, title, ("rewind", "gradients", "bytes", *headings), rows, expendable)


def _pair(cell: NDArray[np.float64]) -> str:
    """Return the σ of both allocations as text; a dash for a σ that is not finite."""
    return " | ".join("—" if np.isnan(value) else f"{value:.3g}" for value in cell[: len(ALLOCATIONS)])


def _print_clients(plan: Plan, title: str, console: Console) -> None:
    """Print the table of the hardest and easiest clients, with the solutions of the first four rows."""
    solved = plan.answers[:4]
    rows = [f"row {answer.row.index}" for answer in solved]
    headings = ("client", "", "degree", "deletes", "distance", "farthest", "mixed in", *rows)
    rounds = plan.network.training_run.rounds
    lines = [
        [content(plan, position) for content in _FACTS] + [solved_value(answer, position, rounds) for answer in solved]
        for position in shown_clients(plan)
    ]
    expendable = ("farthest", "distance", "mixed in", "degree", *reversed(rows[1:]), "deletes")
    _print_rows(console, title, headings, lines, expendable, 2)


def shown_clients(plan: Plan) -> list[int]:
    """Return the positions of the hardest, the requesting and the easiest clients, by the first row.

    The hardest client comes first; clients without a finite requirement come before all others.
    """
    finite = plan.answers[0].order[::-1].tolist()
    order = [position for position in range(len(plan.selection.clients)) if position not in set(finite)] + finite
    ends = order[:_HARDEST] + order[max(_HARDEST, len(order) - _EASIEST) :]
    return [position for position in order if position in ends or position == 0]


def _mixed(plan: Plan, position: int) -> str:
    """Return the number of rounds until the messages of the client at a position are mixed."""
    rounds = plan.facts.mixed[position]
    return f"> {plan.network.training_run.rounds}" if rounds < 0 else str(rounds)


#: The contents of the columns that describe a client.
_FACTS: Sequence[Callable[[Plan, int], str]] = (
    lambda plan, position: plan.network.client(int(plan.selection.clients[position])),
    lambda plan, position: plan.selection.roles.get(int(plan.selection.clients[position]), ""),
    lambda plan, position: str(plan.facts.degree[position]),
    lambda plan, position: f"{plan.facts.deleted[position]} of {plan.facts.samples[position]}",
    lambda plan, position: f"{plan.facts.distance[position]:.3g}",
    lambda plan, position: str(plan.facts.farthest[position]),
    _mixed,
)


def _legend(plan: Plan) -> list[str]:
    """Explain the columns and the dashes of the tables."""
    lines = [
        "σ: root mean square over nodes. Distance and farthest: links to the other clients. Mixed in: rounds until "
        "the messages of the client are spread about evenly. Noise left: σ of what is left of the noise "
        "that the client of the scenario takes, once models are mixed in gossip and descent, root mean square over "
        "nodes, and what perfect averaging would leave; descent lowers it further. Gradients and bytes: of the rounds "
        "that are rewound, as a share of retraining; + gossip: rounds that read no data.",
    ]
    stated = [answer for answer in plan.answers if answer.row.epsilon is None and np.isfinite(answer.epsilon).any()]
    largest = [(f"row {answer.row.index}, at most", float(np.nanmax(answer.epsilon))) for answer in stated]
    lines += vacuous_sentences(largest, max([answer.row.delta for answer in stated], default=0.0))
    unseen = any(row.view.shows_messages and row.placement == "output" for row in (a.row for a in plan.answers))
    if unseen:
        lines.append("— for transcripts with placement output: the messages of the unlearning rounds carry no noise.")
    if any(np.isnan(answer.sigma).any() or np.isnan(answer.epsilon).any() for answer in plan.answers):
        lines.append("— without a number: no finite noise or no depth is enough, or rounding would lose the noise.")
    return lines
