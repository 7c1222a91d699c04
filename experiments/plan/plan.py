"""Make a plan: the noise, ε and cost of unlearning for each client, view and depth, computed without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import TrainingRun, epsilon_of, mu_of, textbook_sigma
from rewindnet.certificates.planning.requirements import (
    ALLOCATIONS,
    PLACEMENTS,
    NoiseRequirements,
    departure_requirements,
    noise_requirements,
    sigma_for,
)
from rewindnet.certificates.view import View
from rewindnet.experiments.plan.clients import ClientFacts, Selection, client_facts, select_clients
from rewindnet.experiments.plan.cost import cost_of_depths
from rewindnet.experiments.plan.departures import departure_sentences, departures
from rewindnet.experiments.plan.healing import NoiseAfterMixing, noise_after_mixing
from rewindnet.experiments.plan.network import deleted_by_each
from rewindnet.experiments.plan.placement import Forecast, forecast_losses
from rewindnet.experiments.plan.rows import Row, rows_of
from rewindnet.experiments.scenario.network_setup import NetworkSetup

Floats = NDArray[np.float64]

#: The views that every plan covers, whatever the scenario asks for.
VIEWS = tuple(View.of(view) for view in ("node", "joint", "average", "transcript", "transcript:all"))

#: The number of evenly spaced depths from 0 to T that every plan covers.
_LADDER = 11


@dataclass(frozen=True, eq=False)
class Answer:
    """The solution of a row for each of the k planned clients; NaN for a client without a solution.

    Attributes:
        row: the row that is solved.
        depth: [k], K.
        sigma: [k], σ of the noise, root mean square over nodes.
        epsilon: [k], ε.
        needed: [k], σ·μ at the given depth, or at depth 0 if the row asks for the depth; clients are compared by it.
    """

    row: Row
    depth: Floats
    sigma: Floats
    epsilon: Floats
    needed: Floats

    @property
    def order(self) -> NDArray[np.int64]:
        """The positions of the clients with a finite requirement, in increasing order of it.

        Among clients that are equal to three digits, the larger position comes first.
        """
        finite = np.flatnonzero(np.isfinite(self.needed))
        rounded = np.array([float(f"{value:.3g}") for value in self.needed[finite].tolist()])
        return np.asarray(finite[np.lexsort((-finite, rounded))])

    @property
    def alike(self) -> bool:
        """Whether all clients with a finite requirement need the same noise, to three digits."""
        ends = self.order[[0, -1]] if self.order.size else self.order
        return len({f"{value:.3g}" for value in self.needed[ends].tolist()}) < 2


@dataclass(frozen=True, eq=False)
class Plan:
    """The result of planning a network.

    Attributes:
        network: the network that is planned.
        point: the settings in which it differs from the other plans of a comparison.
        selection: the clients that are planned.
        facts: properties of these clients.
        requirements: the noise requirements in each regime that a row asks for, and by the published bound.
        answers: the solution of each row.
        costs: for each planned client, the cost of each depth, from `cost_of_depths`; that of the requesting client
            alone where clients stay, as it is about the same for all.
        notes: a sentence about each setting of the scenario that the plan does not cover.
        mixed: for each row, what mixing leaves of its noise; None where that is not computed.
    """

    network: NetworkSetup
    point: Mapping[str, str]
    selection: Selection
    facts: ClientFacts
    requirements: Mapping[str, NoiseRequirements]
    answers: Sequence[Answer]
    costs: Sequence[Mapping[int, Mapping[str, float]]]
    notes: Sequence[str]
    mixed: Sequence[NoiseAfterMixing | None]

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths K that are planned."""
        return next(iter(self.requirements.values())).depths

    @property
    def cost(self) -> Mapping[int, Mapping[str, float]]:
        """The cost of each depth for the requesting client."""
        return self.costs[0]

    def cost_for(self, position: int) -> Mapping[int, Mapping[str, float]]:
        """Return the cost of each depth for the client at a position."""
        return self.costs[min(position, len(self.costs) - 1)]

    @property
    def target(self) -> tuple[float, float]:
        """The (ε, δ) at which depths are compared: those of the first row that states an ε, or else ε = 1."""
        rows = [answer.row for answer in self.answers]
        return next(((row.epsilon, row.delta) for row in rows if row.epsilon is not None), (1.0, rows[0].delta))

    @cached_property
    def forecasts(self) -> tuple[Forecast, ...]:
        """The expected effect of the noise on the models, for each depth and each placement."""
        return forecast_losses(self.network, self.depths, *self.target)

    def sigma(self, basis: str, position: int, epsilon: float, delta: float) -> Floats:
        """Compute the σ that the client at a position needs.

        Args:
            basis: a key of `requirements`.
            position: the position of the client.
            epsilon: ε.
            delta: δ.

        Returns:
            [2, D, V, 2], by placement, depth, view and allocation (see `NoiseRequirements`); NaN if no finite noise
            reaches (ε, δ).
        """
        return sigma_for(self.requirements[basis], _calibrated_mu(basis, epsilon, delta))[..., position]


def epsilon_by_depth(plan: Plan, row: Row) -> Floats:
    """Compute the ε [D] that the noise of a row gives the requesting client at every depth; NaN where it is not finite.

    Args:
        plan: the plan.
        row: a row that states σ.
    """
    requirements = plan.requirements[row.basis]
    cell = PLACEMENTS.index(row.placement), slice(None), requirements.views.index(row.view)
    needed = requirements.needed[cell][:, ALLOCATIONS.index(row.allocation), 0]
    assert row.sigma is not None
    return np.array([_epsilon(value, row.sigma, row.delta) for value in needed.tolist()])


def _calibrated_mu(basis: str, epsilon: float, delta: float) -> float:
    """Return the μ for which noise is calibrated to (ε, δ): by the paper's formula where the bound is the paper's."""
    return 1 / textbook_sigma(epsilon, delta) if basis == "published" else mu_of(epsilon, delta)


def make_plan(network: NetworkSetup, point: Mapping[str, str], clients: int | None = None) -> Plan:
    """Plan a network.

    Args:
        network: the network, from `build_planned_network`.
        point: the settings in which it differs from the other networks of a comparison.
        clients: the number of clients to plan; by default as many as half a minute allows.

    Raises:
        CertificateError: if the regime of a row is not proven, or no depth has a finite certificate.
        DeletionError: if a client cannot leave the network.
    """
    T = network.training_run.rounds
    rows, notes = rows_of(network)
    required = {row.depth for row in rows if row.depth is not None}
    ladder = {round(share * T) for share in np.linspace(0, 1, _LADDER).tolist()} | required
    bases = {row.basis: row for row in rows}
    deleted = deleted_by_each(network)
    every_depth = any(row.depth is None for row in rows)
    selection = select_clients(network, deleted, ladder if every_depth else required, ladder, len(bases), clients)
    views = list(dict.fromkeys([*VIEWS, *(row.view for row in rows)]))
    gone = departures(network, selection.clients) if network.training_run.departed else []
    by_basis = {basis: _requirements(network, gone, selection, deleted, views, row) for basis, row in bases.items()}
    depths, checkpoints = sorted(selection.rewound), network.scenario.learning.checkpoints
    kept = checkpoints.kept(T, network.state_bytes) if checkpoints is not None and checkpoints.leaves_out else None
    return Plan(
        network=network,
        point=point,
        selection=selection,
        facts=client_facts(network, deleted, selection.clients),
        requirements=by_basis,
        answers=[_answer(row, by_basis[row.basis]) for row in rows],
        costs=[cost_of_depths(run, network.message_bytes, depths, kept) for run in gone or [network.training_run]],
        notes=[*(departure_sentences(network, selection.clients) if gone else []), *notes],
        mixed=noise_after_mixing(network, rows),
    )


def _requirements(
    network: NetworkSetup,
    gone: Sequence[TrainingRun],
    selection: Selection,
    deleted: NDArray[np.int64],
    views: Sequence[View],
    row: Row,
) -> NoiseRequirements:
    """Compute the noise requirements of the selected clients, all on one network or each on what it leaves behind."""
    settings: dict[str, Any] = {"rewound": selection.rewound, "descent_rounds": selection.descent_rounds}
    settings |= {"regime": row.regime, "bound": row.bound}
    if gone:
        return departure_requirements(gone, views, **settings)
    clients = selection.clients
    return noise_requirements(network.training_run, clients, deleted[clients], views, **settings)


def _answer(row: Row, requirements: NoiseRequirements) -> Answer:
    """Solve a row for the one of depth, ε and σ that it asks for."""
    view, allocation = requirements.views.index(row.view), ALLOCATIONS.index(row.allocation)
    cell = PLACEMENTS.index(row.placement), slice(None), view, allocation
    needed = requirements.needed[cell]
    k = needed.shape[1]
    if row.depth is not None and row.epsilon is not None:
        at = requirements.depths.index(row.depth)
        sigma = sigma_for(requirements, _calibrated_mu(row.basis, row.epsilon, row.delta))[cell][at]
        return Answer(row, np.full(k, float(row.depth)), sigma, np.full(k, row.epsilon), needed[at])
    assert row.sigma is not None
    if row.depth is not None:
        at = requirements.depths.index(row.depth)
        epsilon = np.array([_epsilon(value, row.sigma, row.delta) for value in needed[at].tolist()])
        return Answer(row, np.full(k, float(row.depth)), np.full(k, row.sigma), epsilon, needed[at])
    assert row.epsilon is not None
    enough = sigma_for(requirements, mu_of(row.epsilon, row.delta))[cell] <= row.sigma
    depths = np.array(requirements.depths, dtype=float)
    depth = np.where(enough.any(axis=0), depths[np.argmax(enough, axis=0)], np.nan)
    return Answer(row, depth, np.full(k, row.sigma), np.full(k, row.epsilon), needed[0])


def _epsilon(needed: float, sigma: float, delta: float) -> float:
    """Compute the ε that noise of this σ gives; NaN if it is not finite.

    Args:
        needed: σ·μ.
        sigma: σ.
        delta: δ.
    """
    if needed == 0:
        return 0.0
    if sigma == 0 or not np.isfinite(needed):
        return np.nan
    epsilon = epsilon_of(needed / sigma, delta)
    return epsilon if np.isfinite(epsilon) else np.nan
