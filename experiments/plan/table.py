"""A plan on the terminal."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS
from rewindnet.experiments.plan.placement import placement_verdict
from rewindnet.experiments.plan.plan import VIEWS, Answer, Plan
from rewindnet.experiments.plan.words import kindest, promise, verdicts

#: Clients that the table of clients shows at either end of the order.
_HARDEST, _KINDEST = 6, 3


def show(plan: Plan, console: Console) -> None:
    """Print what the scenario's rows take, how the noise falls with depth, and which clients take most."""
    scenario, rounds = plan.network.scenario, plan.network.training_run.rounds
    asking = scenario.deletion.each[0].client
    console.print(_answers([plan], [], f"{scenario.name}: what its r2d rows take; client {asking} asks"))
    console.print(_depths(plan, f"client {asking}: σ against depth, uniform | optimal ({_target(plan)})"))
    if len(plan.selection.clients) > 1:
        left_out = len(plan.selection.clients) - len(shown_clients(plan))
        others = f" ({left_out} between them are not shown)" if left_out else ""
        console.print(_clients(plan, f"clients, hardest first{others}: what each row takes"))
    placed = placement_verdict(plan.forecasts, rounds, *plan.target)
    for sentence in (*verdicts(plan), *placed, plan.selection.sentence, promise(plan), *plan.notes, *_legend(plan)):
        console.print(sentence, style="dim", highlight=False, soft_wrap=True)
    if plan.network.nodes > 1 and plan.selection.descent_rounds != plan.selection.rewound:
        console.print(
            "Placement output is planned at the depths of the rows only: every other depth would cost K rounds more.",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )


def compare(plans: Sequence[Plan], keys: Sequence[str], console: Console) -> None:
    """Print several plans side by side."""
    name = plans[0].network.scenario.name
    console.print(_answers(plans, keys, f"{name}: {len(plans)} plans"))
    notes = list(dict.fromkeys(note for plan in plans for note in plan.notes))
    for sentence in (*kindest(plans, keys), *_legend(plans[0]), *notes):
        console.print(sentence, style="dim", highlight=False, soft_wrap=True)


def _table(title: str, headings: Sequence[str], left: int) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="left" if at < left else "right")
    return table


def _answers(plans: Sequence[Plan], keys: Sequence[str], title: str) -> Table:
    headings = (*keys, "row", "view", "noise", "rewind", "ε", "δ", "asks", "kindest", "median", "hardest")
    table = _table(title, (*headings, "gradients", "bytes"), len(keys) + 3)
    for at in range(len(plans[0].answers)):
        for plan in plans:
            table.add_row(*(plan.point[key] for key in keys), *_answer(plan, plan.answers[at]))
    return table


def _answer(plan: Plan, answer: Answer) -> list[str]:
    """Fill the line of one row of the scenario, as it comes out in one plan."""
    row, clients, order = answer.row, plan.selection.clients, answer.order
    T = plan.network.training_run.rounds
    named = ["—", "—", "—"]
    if len(order) and len(clients) > 1:
        texts = [taken(answer, position, T) for position in order.tolist()]
        ends = [f"{texts[at]} (client {clients[order[at]]})" for at in (0, -1)]
        named = ["all alike", texts[0], "all alike"] if answer.alike else [ends[0], texts[len(texts) // 2], ends[1]]
    cost = None if np.isnan(answer.depth[0]) else plan.cost[int(answer.depth[0])]
    return [
        str(row.index),
        str(row.view),
        f"{row.placement} {row.allocation}",
        "?" if row.depth is None else _percent(row.depth / T),
        "?" if row.epsilon is None else f"{row.epsilon:g}",
        f"{row.delta:g}",
        taken(answer, 0, T),
        *named,
        "—" if cost is None else _percent(cost["gradients"]),
        "—" if cost is None else _percent(cost["bytes"]),
    ]


def taken(answer: Answer, position: int, rounds: int) -> str:
    """Show whichever of σ, ε and depth the row asks for, for the client at a position.

    Args:
        answer: to the row.
        position: of the client among those planned.
        rounds: T.
    """
    row = answer.row
    if row.sigma is None:
        return _number("σ", answer.sigma[position])
    if row.epsilon is None:
        return _number("ε", answer.epsilon[position])
    return "—" if np.isnan(answer.depth[position]) else f"rewind {_percent(answer.depth[position] / rounds)}"


def _number(what: str, value: float) -> str:
    return "—" if np.isnan(value) else f"{what} {value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _target(plan: Plan) -> str:
    epsilon, delta = plan.target
    return f"ε = {epsilon:g}, δ = {delta:g}"


def _depths(plan: Plan, title: str) -> Table:
    headings = [f"output: {view}" for view in VIEWS[:3]] + ["rewind: one peer", "rewind: all messages"]
    table = _table(title, ("rewind", "gradients", "bytes", *headings), 0)
    sigma = plan.sigma(plan.answers[0].row.regime, 0, *plan.target)
    for at, depth in enumerate(plan.depths):
        cost = plan.cost[depth]
        cells = [sigma[PLACEMENTS.index("output"), at, VIEWS.index(view)] for view in VIEWS[:3]]
        cells += [sigma[PLACEMENTS.index("rewind"), at, VIEWS.index(view)] for view in VIEWS[3:]]
        shares = [
            _percent(depth / plan.network.training_run.rounds),
            _percent(cost["gradients"]),
            _percent(cost["bytes"]),
        ]
        table.add_row(*shares, *map(_pair, cells))
    return table


def _pair(cell: NDArray[np.float64]) -> str:
    return " | ".join("—" if np.isnan(value) else f"{value:.3g}" for value in cell[: len(ALLOCATIONS)])


def _clients(plan: Plan, title: str) -> Table:
    rows = plan.answers[:4]
    headings = ("client", "", "degree", "deletes", "distance", "farthest", "mixed in")
    table = _table(title, (*headings, *(f"row {answer.row.index}" for answer in rows)), 2)
    rounds = plan.network.training_run.rounds
    for position in shown_clients(plan):
        answers = (taken(answer, position, rounds) for answer in rows)
        table.add_row(*(content(plan, position) for content in _FACTS), *answers)
    return table


def shown_clients(plan: Plan) -> list[int]:
    """Return the positions of the hardest clients, of the one that asks, and of the easiest, by the first row."""
    numbered = plan.answers[0].order[::-1].tolist()
    order = [position for position in range(len(plan.selection.clients)) if position not in set(numbered)] + numbered
    ends = order[:_HARDEST] + order[max(_HARDEST, len(order) - _KINDEST) :]
    return [position for position in order if position in ends or position == 0]


def _mixed(plan: Plan, position: int) -> str:
    rounds = plan.facts.mixed[position]
    return f"> {plan.network.training_run.rounds}" if rounds < 0 else str(rounds)


_FACTS: Sequence[Callable[[Plan, int], str]] = (
    lambda plan, position: str(plan.selection.clients[position]),
    lambda plan, position: plan.selection.roles.get(int(plan.selection.clients[position]), ""),
    lambda plan, position: str(plan.facts.degree[position]),
    lambda plan, position: f"{plan.facts.deleted[position]} of {plan.facts.samples[position]}",
    lambda plan, position: f"{plan.facts.distance[position]:.3g}",
    lambda plan, position: str(plan.facts.farthest[position]),
    _mixed,
)


def _legend(plan: Plan) -> list[str]:
    lines = [
        "σ: root mean square over nodes. Distance and farthest: links to the other clients. Mixed in: rounds until "
        "what the client says is shared about evenly. Gradients and bytes: as a share of retraining.",
    ]
    unseen = any(row.view.shows_messages and row.placement == "output" for row in (a.row for a in plan.answers))
    if unseen:
        lines.append("— transcripts with placement output: the messages of the unlearning rounds carry no noise.")
    if any(np.isnan(answer.sigma).any() or np.isnan(answer.epsilon).any() for answer in plan.answers):
        lines.append("— no number: no finite noise, too little for the arithmetic to carry, or no depth is enough.")
    return lines
