"""A plan: what it takes to forget, for every client, view and depth, before anything is learned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Regime, View, epsilon_of, mu_of, strongest_regime
from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS, NoiseRequirements, noise_requirements
from rewindnet.clients.methods import METHODS
from rewindnet.experiments.plan.clients import Facts, Selection, facts, select
from rewindnet.experiments.plan.prospect import Prospect

Floats = NDArray[np.float64]

#: The views that every plan answers for, whatever the scenario asks.
VIEWS = tuple(View.of(view) for view in ("node", "joint", "average", "transcript", "transcript:all"))

_LADDER = 11


@dataclass(frozen=True)
class Row:
    """An r2d row of the scenario: two of depth, ε and σ are given."""

    index: int
    depth: int | None
    epsilon: float | None
    sigma: float | None
    delta: float
    view: View
    placement: str
    allocation: str
    regime: Regime


@dataclass(frozen=True, eq=False)
class Answer:
    """What a row comes to for each of the k clients planned, NaN where it cannot be had.

    Attributes:
        row: the question.
        depth: [k], K.
        sigma: [k], root mean square over nodes.
        epsilon: [k].
        needed: [k], σ·μ at the depth that is given (at the deepest, where depth is what follows): what clients are
            compared by.
    """

    row: Row
    depth: Floats
    sigma: Floats
    epsilon: Floats
    needed: Floats

    @property
    def order(self) -> NDArray[np.int64]:
        """The places of the clients that get a number, the kindest first; of those equal to three digits the last."""
        found = np.flatnonzero(np.isfinite(self.needed))
        rounded = np.array([float(f"{value:.3g}") for value in self.needed[found].tolist()])
        return np.asarray(found[np.lexsort((-found, rounded))])

    @property
    def alike(self) -> bool:
        """Whether all clients that get a number take the same, to three digits."""
        ends = self.order[[0, -1]] if self.order.size else self.order
        return len({f"{value:.3g}" for value in self.needed[ends].tolist()}) < 2


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that a plan found.

    Attributes:
        prospect: the network as it would learn.
        point: the settings in which it differs from the other plans of a comparison.
        selection: which clients were planned, and why these.
        facts: of these clients.
        prices: for each regime that a row asks for.
        answers: one for each row.
        cost: for each depth, its rounds, gradients and bytes as shares of retraining, and its bytes.
        notes: sentences about what of the scenario a plan cannot take up.
    """

    prospect: Prospect
    point: Mapping[str, str]
    selection: Selection
    facts: Facts
    prices: Mapping[Regime, NoiseRequirements]
    answers: Sequence[Answer]
    cost: Mapping[int, Mapping[str, float]]
    notes: Sequence[str]

    @property
    def depths(self) -> tuple[int, ...]:
        """The K planned."""
        return next(iter(self.prices.values())).depths

    def sigma(self, regime: Regime, place: int, epsilon: float, delta: float) -> Floats:
        """σ [2, D, V, 2] (see `NoiseRequirements`) of the client at that place, NaN where no noise gives a number."""
        found = self.prices[regime]
        return resolved(found, mu_of(epsilon, delta))[..., place]


def resolved(found: NoiseRequirements, mu: float) -> Floats:
    """σ [2, D, V, 2, k] that reaches μ, NaN where none does or the arithmetic would round the least of it away."""
    with np.errstate(invalid="ignore"):
        sigma = found.needed / mu * (1 + 1e-12)
        lost = (found.finest > 0) & (found.finest / mu < found.least[:, :, None, None, None])
    return np.asarray(np.where(lost | ~np.isfinite(sigma), np.nan, sigma))


def make_plan(prospect: Prospect, point: Mapping[str, str], clients: int | None = None) -> Plan:
    """Plan a network.

    Args:
        prospect: from `survey`.
        point: what the plan is of, where several are compared.
        clients: how many of the clients; as many as half a minute allows by default.

    Raises:
        CertificateError: if a row's regime is not proven, or no depth of it has a finite certificate.
    """
    learning = prospect.learning
    rows, notes = _rows(prospect)
    asked = {row.depth for row in rows if row.depth is not None}
    ladder = {round(share * learning.rounds) for share in np.linspace(0, 1, _LADDER).tolist()} | asked
    regimes = list(dict.fromkeys(row.regime for row in rows))
    needed = ladder if any(row.depth is None for row in rows) else asked
    selection = select(prospect, needed, ladder, len(regimes), clients)
    views = list(dict.fromkeys([*VIEWS, *(row.view for row in rows)]))
    found = {
        regime: noise_requirements(
            learning,
            selection.clients,
            prospect.counts[selection.clients],
            views,
            rewound=selection.rewound,
            descent_rounds=selection.descent_rounds,
            regime=regime,
        )
        for regime in regimes
    }
    return Plan(
        prospect=prospect,
        point=point,
        selection=selection,
        facts=facts(prospect, selection.clients),
        prices=found,
        answers=[_answer(row, found[row.regime]) for row in rows],
        cost=_cost(prospect, sorted(selection.rewound)),
        notes=notes,
    )


def _rows(prospect: Prospect) -> tuple[list[Row], list[str]]:
    """The r2d rows of the scenario, worst-case, and what of them is not planned."""
    rows, notes, T = [], [], prospect.learning.rounds
    strongest = strongest_regime(prospect.learning)
    methods = list(enumerate(prospect.scenario.unlearning))
    chosen = [(index, method.settings) for index, method in methods if method.name == "r2d"]
    if not chosen:
        chosen = [(0, vars(METHODS["r2d"]()))]
        notes.append("The scenario lists no r2d; planned is r2d with its defaults.")
    for index, of in chosen:
        depth = None if of["rewind"] is None else round(of["rewind"] * T)
        regime = of["regime"] or strongest
        told = {key: of[key] for key in ("epsilon", "sigma", "delta", "placement", "allocation")}
        view = View.of(of["view"]).within(prospect.mixing.nodes)
        prospect.learning.constants.lowest_curvature(regime)
        rows.append(Row(index=index, depth=depth, regime=regime, view=view, **told))
        if of["bound"] != "worst-case":
            notes.append(
                f"Row {index} asks for the bound {of['bound']}; planned is the worst case, which needs no training: "
                "measured disturbances are smaller, and so is the noise of the run."
                if of["bound"] == "instance"
                else f"Row {index} asks for the bound {of['bound']}; planned is the worst case."
            )
        if of["settle"]:
            notes.append(f"Row {index} settles for {of['settle']} rounds, which is not planned: it only lowers ε.")
        if of["view"] == "average" and of["placement"] == "output":
            notes.append(
                f"Row {index} releases the average; the messages of the averaging itself are not in its bytes."
            )
    return rows, notes


def _answer(row: Row, found: NoiseRequirements) -> Answer:
    """Solve for whichever of (depth, ε, σ) is open."""
    place = PLACEMENTS.index(row.placement), slice(None), found.views.index(row.view), ALLOCATIONS.index(row.allocation)
    needed = found.needed[place]
    k = needed.shape[1]
    if row.depth is not None and row.epsilon is not None:
        at = found.depths.index(row.depth)
        sigma = resolved(found, mu_of(row.epsilon, row.delta))[place][at]
        return Answer(row, np.full(k, float(row.depth)), sigma, np.full(k, row.epsilon), needed[at])
    assert row.sigma is not None
    if row.depth is not None:
        at = found.depths.index(row.depth)
        epsilon = np.array([_epsilon(value, row) for value in needed[at].tolist()])
        return Answer(row, np.full(k, float(row.depth)), np.full(k, row.sigma), epsilon, needed[at])
    assert row.epsilon is not None
    enough = resolved(found, mu_of(row.epsilon, row.delta))[place] <= row.sigma
    depth = np.where(enough.any(axis=0), np.array(found.depths, dtype=float)[np.argmax(enough, axis=0)], np.nan)
    return Answer(row, depth, np.full(k, row.sigma), np.full(k, row.epsilon), needed[0])


def _epsilon(needed: float, row: Row) -> float:
    """ε at the row's σ."""
    assert row.sigma is not None
    if needed == 0:
        return 0.0
    if row.sigma == 0 or not np.isfinite(needed):
        return np.nan
    reached = epsilon_of(needed / row.sigma, row.delta)
    return reached if np.isfinite(reached) else np.nan


def _cost(prospect: Prospect, depths: Sequence[int]) -> dict[int, dict[str, float]]:
    """Of each depth, against retraining: not all rounds cost the same where links fail or nodes sleep."""
    T, (steps, sent) = prospect.learning.rounds, _spent(prospect)
    return {
        K: {
            "rounds": K,
            "gradients": float(steps[T - K :].sum() / (steps.sum() or 1)),
            "bytes": float(sent[T - K :].sum() / (sent.sum() or 1)),
            "sent": float(sent[T - K :].sum() * prospect.message_bytes),
        }
        for K in depths
    }


def _spent(prospect: Prospect) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[T] each, the gradients and the messages of every round."""
    learning, mixing = prospect.learning, prospect.mixing
    everyone = int(learning.gradients(0, retained=True).sum()) if mixing.participating(0) is None else 0
    known: tuple[Any, int] = (None, 0)
    steps, sent = np.full(learning.rounds, everyone), np.zeros(learning.rounds, dtype=np.int64)
    for t in range(learning.rounds):
        W = mixing.matrix(t)
        if W is not known[0]:
            known = W, int(W.nnz - np.count_nonzero(W.diagonal()))
        sent[t] = known[1]
        if mixing.participating(t) is not None:
            steps[t] = learning.gradients(t, retained=True).sum()
    return steps, sent
