"""Give a plan to Python and to notebooks as tables and sentences."""

from html import escape
from math import isnan
from typing import Any

import numpy as np

from rewindnet.experiments.notebooks import Record, data_frame, html_table, shown
from rewindnet.experiments.plan.plan import Answer, Plan
from rewindnet.experiments.plan.repair import MOST_NOISE, find_repairs
from rewindnet.experiments.plan.repair_words import repair_record
from rewindnet.experiments.plan.words import basis_sentence, hardest_sentences


class PlanResult:
    """The noise, ε and cost of unlearning for each client, computed without training.

    Args:
        plan: the plan.

    Attributes:
        plan: the plan, with the noise requirements in arrays.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def hardest(self) -> int | None:
        """The client that needs the most noise by the first r2d row; None if no client has a finite requirement."""
        order = self.plan.answers[0].order
        return int(self.plan.selection.clients[order[-1]]) if len(order) else None

    @property
    def sentences(self) -> list[str]:
        """Sentences about the hardest client, the selection of the clients, and the constants of the figures."""
        return [
            *hardest_sentences(self.plan),
            self.plan.selection.sentence,
            basis_sentence(self.plan),
            *self.plan.notes,
        ]

    def rows(self) -> list[Record]:
        """Return a mapping for each r2d row of the scenario and each planned client."""
        clients = range(len(self.plan.selection.clients))
        return [self._row(answer, at) for answer in self.plan.answers for at in clients]

    def _row(self, answer: Answer, at: int) -> Record:
        plan, row = self.plan, answer.row
        client, depth = int(plan.selection.clients[at]), _number(answer.depth[at])
        cost = {} if depth is None else plan.cost_for(at)[int(depth)]
        names = plan.network.names
        facts = {name: values[at].item() for name, values in vars(plan.facts).items()}
        return {
            "row": row.index,
            "client": client,
            **({"name": names[client]} if client in names else {}),
            "asks": at == 0,
            "view": row.view,
            "placement": row.placement,
            "allocation": row.allocation,
            "rounds": None if depth is None else int(depth),
            "epsilon": _number(answer.epsilon[at]),
            "delta": row.delta,
            "sigma": _number(answer.sigma[at]),
            "gradients": cost.get("gradients"),
            "bytes": cost.get("bytes"),
            **facts,
        }

    def repairs(self, noise: float = MOST_NOISE) -> list[Record]:
        """Say of each r2d row whether it keeps its promise, and find the cheapest change with which it does.

        Args:
            noise: the largest standard deviation of the noise of a score, at any node.

        Returns:
            A mapping for each row, as under `repair` in plan.json.

        Raises:
            UserError: if the noise cannot be forecast for the model or the network.
        """
        return repair_record(self.plan.network, find_repairs(self.plan.network, noise))

    def table(self) -> Any:
        """Return `rows` as a pandas DataFrame, or as a list if pandas is not installed."""
        return data_frame(self.rows())

    def __repr__(self) -> str:
        return f"PlanResult({len(self.plan.selection.clients)} clients, hardest: {self.hardest})"

    def _repr_html_(self) -> str:
        """Return the table and the sentences, for notebooks."""
        rows = self.rows()
        columns = [(name, shown(name)) for name in rows[0]]
        return html_table(columns, rows) + "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences)


def _number(value: float | np.floating[Any]) -> float | None:
    return None if isnan(value) else float(value)
