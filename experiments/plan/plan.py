"""A plan: the noise, cost and ε of unlearning for each client, view and depth, before anything is learned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Regime, epsilon_of, mu_of
from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS, NoiseRequirements, noise_requirements
from rewindnet.certificates.view import View
from rewindnet.experiments.plan.clients import Facts, Selection, facts, select
from rewindnet.experiments.plan.cost import cost_of_depths
from rewindnet.experiments.plan.network import deleted_by_each
from rewindnet.experiments.plan.placement import Forecast, forecasts
from rewindnet.experiments.plan.rows import Row, rows_of
from rewindnet.experiments.scenario.network_setup import NetworkSetup

Floats = NDArray[np.float64]

#: The views that every plan answers for, whatever the scenario asks.
VIEWS = tuple(View.of(view) for view in ("node", "joint", "average", "transcript", "transcript:all"))

#: Depths on the ladder from 0 to T that every plan answers for.
_LADDER = 11


@dataclass(frozen=True, eq=False)
class Answer:
    """What a row comes to for each of the k clients planned; NaN where it cannot be had.

    Attributes:
        row: the question.
        depth: [k], K.
        sigma: [k], root mean square over nodes.
        epsilon: [k].
        needed: [k], σ·μ at the depth that is given (at the deepest, where the depth is asked for): what clients are
            compared by.
    """

    row: Row
    depth: Floats
    sigma: Floats
    epsilon: Floats
    needed: Floats

    @property
    def order(self) -> NDArray[np.int64]:
        """The positions of the clients that get a number, the one that needs least first.

        Of those that are equal to three digits, the one with the larger position comes first.
        """
        numbered = np.flatnonzero(np.isfinite(self.needed))
        rounded = np.array([float(f"{value:.3g}") for value in self.needed[numbered].tolist()])
        return np.asarray(numbered[np.lexsort((-numbered, rounded))])

    @property
    def alike(self) -> bool:
        """Whether all clients that get a number need the same, to three digits."""
        ends = self.order[[0, -1]] if self.order.size else self.order
        return len({f"{value:.3g}" for value in self.needed[ends].tolist()}) < 2


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that a plan has worked out.

    Attributes:
        network: that is planned.
        point: the settings in which it differs from the other plans of a comparison.
        selection: which clients were planned, and why these.
        facts: about these clients.
        prices: for each regime that a row asks for.
        answers: one for each row.
        cost: for each depth, its rounds, gradients and bytes as shares of retraining, and its bytes.
        notes: sentences about what of the scenario a plan does not take up.
    """

    network: NetworkSetup
    point: Mapping[str, str]
    selection: Selection
    facts: Facts
    prices: Mapping[Regime, NoiseRequirements]
    answers: Sequence[Answer]
    cost: Mapping[int, Mapping[str, float]]
    notes: Sequence[str]

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths K planned."""
        return next(iter(self.prices.values())).depths

    @property
    def target(self) -> tuple[float, float]:
        """The (ε, δ) that depths are compared at: of the first row that states an ε."""
        rows = [answer.row for answer in self.answers]
        return next(((row.epsilon, row.delta) for row in rows if row.epsilon is not None), (1.0, rows[0].delta))

    @cached_property
    def forecasts(self) -> tuple[Forecast, ...]:
        """What the noise is expected to do to the models, for each depth and each place of the noise."""
        return forecasts(self.network, self.depths, *self.target)

    def sigma(self, regime: Regime, position: int, epsilon: float, delta: float) -> Floats:
        """Compute σ [2, D, V, 2] (see `NoiseRequirements`) of the client at a position; NaN if no noise is enough."""
        return sigma_for(self.prices[regime], mu_of(epsilon, delta))[..., position]


def sigma_for(prices: NoiseRequirements, mu: float) -> Floats:
    """Compute the σ [2, D, V, 2, k] that reaches μ.

    Where the arithmetic would round the noise of a node away, that node gets the least that is resolved, as in
    `calibrate`. If all nodes have the same noise, this is the least; otherwise √(σ² + least²) is an upper bound on the
    root mean square.

    Returns:
        NaN where none does.
    """
    with np.errstate(invalid="ignore"):
        sigma = prices.needed / mu * (1 + 1e-12)
        least = prices.least[:, :, None, None, None]
        lost = (prices.finest > 0) & (prices.finest / mu < least)
        raised = np.where(prices.finest < prices.needed * (1 - 1e-9), np.hypot(sigma, least), least)
    return np.asarray(np.where(np.isfinite(sigma), np.where(lost, raised, sigma), np.nan))


def make_plan(network: NetworkSetup, point: Mapping[str, str], clients: int | None = None) -> Plan:
    """Plan a network.

    Args:
        network: from `build_planned_network`.
        point: the settings that tell it from other networks of a comparison.
        clients: how many of the clients to plan; as many as half a minute allows by default.

    Raises:
        CertificateError: if a row's regime is not proven, or no depth of it has a finite certificate.
    """
    T = network.training_run.rounds
    rows, notes = rows_of(network)
    required = {row.depth for row in rows if row.depth is not None}
    ladder = {round(share * T) for share in np.linspace(0, 1, _LADDER).tolist()} | required
    regimes = list(dict.fromkeys(row.regime for row in rows))
    deleted = deleted_by_each(network)
    every_depth = any(row.depth is None for row in rows)
    selection = select(network, deleted, ladder if every_depth else required, ladder, len(regimes), clients)
    views = list(dict.fromkeys([*VIEWS, *(row.view for row in rows)]))
    by_regime = {
        regime: noise_requirements(
            network.training_run,
            selection.clients,
            deleted[selection.clients],
            views,
            rewound=selection.rewound,
            descent_rounds=selection.descent_rounds,
            regime=regime,
        )
        for regime in regimes
    }
    return Plan(
        network=network,
        point=point,
        selection=selection,
        facts=facts(network, deleted, selection.clients),
        prices=by_regime,
        answers=[_answer(row, by_regime[row.regime]) for row in rows],
        cost=cost_of_depths(network, sorted(selection.rewound)),
        notes=notes,
    )


def _answer(row: Row, prices: NoiseRequirements) -> Answer:
    """Solve a row for whichever of depth, ε and σ it asks for."""
    view, allocation = prices.views.index(row.view), ALLOCATIONS.index(row.allocation)
    cell = PLACEMENTS.index(row.placement), slice(None), view, allocation
    needed = prices.needed[cell]
    k = needed.shape[1]
    if row.depth is not None and row.epsilon is not None:
        at = prices.depths.index(row.depth)
        sigma = sigma_for(prices, mu_of(row.epsilon, row.delta))[cell][at]
        return Answer(row, np.full(k, float(row.depth)), sigma, np.full(k, row.epsilon), needed[at])
    assert row.sigma is not None
    if row.depth is not None:
        at = prices.depths.index(row.depth)
        epsilon = np.array([_epsilon(value, row.sigma, row.delta) for value in needed[at].tolist()])
        return Answer(row, np.full(k, float(row.depth)), np.full(k, row.sigma), epsilon, needed[at])
    assert row.epsilon is not None
    enough = sigma_for(prices, mu_of(row.epsilon, row.delta))[cell] <= row.sigma
    depths = np.array(prices.depths, dtype=float)
    depth = np.where(enough.any(axis=0), depths[np.argmax(enough, axis=0)], np.nan)
    return Answer(row, depth, np.full(k, row.sigma), np.full(k, row.epsilon), needed[0])


def _epsilon(needed: float, sigma: float, delta: float) -> float:
    """Compute the ε that noise of this σ gives; NaN if none."""
    if needed == 0:
        return 0.0
    if sigma == 0 or not np.isfinite(needed):
        return np.nan
    epsilon = epsilon_of(needed / sigma, delta)
    return epsilon if np.isfinite(epsilon) else np.nan
