"""Changes of a row or of the network that may keep a promise, and what each of them comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.healing import NO_HEALING
from rewindnet.experiments.plan.links import Link
from rewindnet.experiments.plan.outlook import Outlook, outlook
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.views import with_node


@dataclass(frozen=True)
class Change:
    """A change of a scenario.

    Attributes:
        settings: the settings of the row that change, by name.
        links: the links that are added to the graph, each by its two nodes.
    """

    settings: Mapping[str, Any]
    links: tuple[Link, ...] = ()

    def applied(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a row after the change; healing needs noise on the checkpoint.

        Args:
            row: the settings before.
        """
        changed = {**row, **self.settings}
        if self.settings.get("rewind") is not None and row["epsilon"] is not None:
            # Two of depth, ε and σ are given: a promised ε stays, and the noise follows.
            changed["sigma"] = None
        return changed if changed["placement"] == "rewind" else {**changed, **NO_HEALING}


@dataclass(frozen=True, eq=False)
class Tried:
    """A change, and what the row then comes to.

    Attributes:
        change: the change.
        outlook: what the row comes to.
        gradients: the gradients that the answer takes, as a share of retraining.
        bytes: what is sent for the answer, and in learning for links that are added, as a share of retraining.
    """

    change: Change
    outlook: Outlook
    gradients: float
    bytes: float

    @property
    def cost(self) -> float:
        """What changes are compared by: gradients and bytes count the same, each as a share of retraining."""
        return self.gradients + self.bytes


class Trials:
    """Looks at changes of one row of a network.

    Args:
        network: the network that is planned.
        index: the number of the row in the scenario.
        settings: the settings of the row.
    """

    def __init__(self, network: NetworkSetup, index: int, settings: Mapping[str, Any]) -> None:
        self.network = network
        self.row = with_node(settings, network.topology.names, network.nodes, f"unlearning.{index}")
        self.now = outlook(network, network.training_run, self.row)
        self._with_links = cache(lambda links: linked_run(network, links))

    def look(self, settings: Mapping[str, Any], links: Sequence[Link] = ()) -> Tried:
        """Plan the row again with a change.

        Args:
            settings: the settings of the row that change.
            links: the links that are added.
        """
        change = Change(settings, tuple(links))
        found = outlook(self.network, self._with_links(change.links), change.applied(self.row))
        learning = self.now.learning or 1.0
        return Tried(change, found, found.gradients, (found.messages + found.learning - self.now.learning) / learning)


def linked_run(network: NetworkSetup, links: tuple[Link, ...]) -> TrainingRun:
    """Return how a network learns with more links, up to the last request.

    Args:
        network: the network.
        links: the links that are added.

    Raises:
        TopologyError: if the mixing rule or the schedule does not fit the graph.
    """
    if not links:
        return network.training_run
    return replace(network.training_run, mixing=network.topology.linked(links).mixing)
