"""List the r2d rows of a scenario that a plan solves: each gives two of depth, ε and σ, and asks for the third."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rewindnet.certificates import Regime, View, strongest_regime
from rewindnet.certificates.claim import Bound
from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.views import with_node


@dataclass(frozen=True)
class Row:
    """One r2d row of a scenario.

    Attributes:
        index: its position in the list `unlearning` of the scenario.
        depth: K, the number of rounds to rewind; None if the row asks for it.
        epsilon: the target ε; None if the row asks for it.
        sigma: σ of the noise, root mean square over nodes; None if the row asks for it.
        delta: δ.
        view: the view of the observer.
        placement: where the noise is added, `output` or `rewind`.
        allocation: how the noise is divided over nodes, `uniform` or `optimal`.
        regime: the regime of the objective in which the sensitivity is bounded.
        bound: `worst-case` or `published`.
        settings: the settings of the row, with the name of its method.
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
    bound: Bound = "worst-case"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def basis(self) -> str:
        """What the sensitivity is bounded by: the regime of the worst case, or `published`."""
        return "published" if self.bound == "published" else self.regime


def rows_of(network: NetworkSetup) -> tuple[list[Row], list[str]]:
    """List the r2d rows of a scenario, and the settings of theirs that a plan does not cover.

    Args:
        network: the network of the scenario.

    Returns:
        The rows, and a sentence about each setting that a plan does not cover.

    Raises:
        CertificateError: if a view names a node that does not exist, or a regime is not proven.
    """
    training_run = network.training_run
    settings = {
        index: {"method": method.name}
        | with_node(method.settings, network.topology.names, network.nodes, f"unlearning.{index}")
        for index, method in enumerate(network.scenario.unlearning)
        if rewinds(method.name)
    }
    notes = []
    if not settings:
        settings = {0: {"method": R2D.name, **vars(R2D())}}
        notes.append(f"The scenario lists no {R2D.name}, so the plan covers {R2D.name} with its defaults.")
    rows = []
    for index, chosen in settings.items():
        bound: Bound = "published" if chosen["bound"] == "published" else "worst-case"
        regime = "nonconvex" if bound == "published" else chosen["regime"] or strongest_regime(training_run)
        view = View.of(chosen["view"]).within(network.nodes)
        training_run.constants.lowest_curvature(regime)
        depth = None if chosen["rewind"] is None else round(chosen["rewind"] * training_run.rounds)
        names = ("epsilon", "sigma", "delta", "placement", "allocation")
        given = {name: chosen[name] for name in names}
        rows.append(Row(index=index, depth=depth, regime=regime, view=view, bound=bound, settings=chosen, **given))
        notes += _not_planned(index, chosen)
    return rows, notes


def _not_planned(index: int, settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence about each setting of a row that a plan does not cover."""
    notes = []
    if settings["bound"] == "instance":
        notes.append(
            f"Row {index} asks for the bound {settings['bound']}; the plan uses the worst case, which needs no "
            "training: measured disturbances are smaller, and so is the noise of the run."
        )
    rounds = settings["gossip_rounds"]
    if rounds:
        notes.append(f"Row {index} adds {rounds} gossip rounds; the plan leaves them out, {_gossip_does(settings)}.")
    if settings["settle_first"] and View.of(settings["view"]).of_one_node:
        notes.append(
            f"Row {index} has gossip rounds before the descent; a single peer then receives from more nodes than "
            "planned, so that its ε may be larger."
        )
    if settings["view"] == "average" and settings["placement"] == "output":
        notes.append(f"Row {index} releases the average; its bytes do not include the messages of that averaging.")
    return notes


def _gossip_does(settings: Mapping[str, Any]) -> str:
    """Say what gossip rounds at the end do to the ε of a row, as the part of a sentence."""
    view = View.of(settings["view"])
    if not view.of_one_node:
        return "and no ε of this view depends on them"
    if settings["placement"] == "rewind":
        return "and a single peer then receives from more nodes than planned, so that its ε may be larger"
    return (
        "and a single model then has a part of its neighbours' differences and less noise, so that its ε may be larger"
    )
