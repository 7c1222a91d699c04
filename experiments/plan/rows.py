"""The r2d rows of a scenario, as questions to a plan: two of depth, ε and σ are given, the third is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewindnet.certificates import Regime, View, strongest_regime
from rewindnet.clients.methods import METHODS
from rewindnet.experiments.scenario.network_setup import NetworkSetup


@dataclass(frozen=True)
class Row:
    """One r2d row of a scenario.

    Attributes:
        index: its number among the scenario's methods.
        depth: K, the rounds to rewind; None if it is asked for.
        epsilon: to reach; None if it is asked for.
        sigma: of the noise, root mean square over nodes; None if it is asked for.
        delta: δ.
        view: what is seen.
        placement: where the noise is added, `output` or `rewind`.
        allocation: of the noise over nodes, `uniform` or `optimal`.
        regime: of the objective that the sensitivity is bounded in.
    """

    index: int
    depth: int | None
    epsilon: float | None
    sigma: float | None
    delta: float
    view: View
    placement: str
    allocation: str
    regime: Regime


def rows_of(network: NetworkSetup) -> tuple[list[Row], list[str]]:
    """List the r2d rows of a scenario with the worst-case bound, and say what of them is not planned.

    Args:
        network: of the scenario.

    Returns:
        The rows; a sentence about each setting that a plan does not take up.

    Raises:
        CertificateError: if a view names a node that does not exist, or a regime is not proven.
    """
    training_run = network.training_run
    settings = {
        index: method.settings for index, method in enumerate(network.scenario.unlearning) if method.name == "r2d"
    }
    notes = []
    if not settings:
        settings = {0: vars(METHODS["r2d"]())}
        notes.append("The scenario lists no r2d; planned is r2d with its defaults.")
    rows = []
    for index, chosen in settings.items():
        regime = chosen["regime"] or strongest_regime(training_run)
        view = View.of(chosen["view"]).within(network.nodes)
        training_run.constants.lowest_curvature(regime)
        depth = None if chosen["rewind"] is None else round(chosen["rewind"] * training_run.rounds)
        names = ("epsilon", "sigma", "delta", "placement", "allocation")
        rows.append(Row(index=index, depth=depth, regime=regime, view=view, **{name: chosen[name] for name in names}))
        notes += _not_planned(index, chosen)
    return rows, notes


def _not_planned(index: int, settings: Mapping[str, Any]) -> list[str]:
    """Say what of a row's settings a plan does not take up."""
    notes = []
    if settings["bound"] == "instance":
        notes.append(
            f"Row {index} asks for the bound {settings['bound']}; planned is the worst case, which needs no training: "
            "measured disturbances are smaller, and so is the noise of the run."
        )
    elif settings["bound"] != "worst-case":
        notes.append(f"Row {index} asks for the bound {settings['bound']}; planned is the worst case.")
    if settings["gossip_rounds"]:
        notes.append(
            f"Row {index} ends with {settings['gossip_rounds']} gossip rounds, which are not planned: they lower ε."
        )
    if settings["view"] == "average" and settings["placement"] == "output":
        notes.append(f"Row {index} releases the average; the messages of the averaging itself are not in its bytes.")
    return notes
