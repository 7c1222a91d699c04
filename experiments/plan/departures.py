"""Plan departures: every client that may leave leaves another network behind, on which it is forgotten."""

from collections.abc import Sequence
from dataclasses import replace

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import TrainingRun
from rewindnet.experiments.scenario.network_setup import NetworkSetup

#: The largest number of clients that a sentence names.
_NAMED = 12


def departures(network: NetworkSetup, clients: NDArray[np.int64]) -> list[TrainingRun]:
    """Return how the network learns and what remains of it, for the departure of each of k clients.

    Args:
        network: the network that is planned.
        clients: [k], the clients.

    Raises:
        DeletionError: if the mixing rule has no weights for a network that remains.
    """
    return [_departure(network, client) for client in clients.tolist()]


def _departure(network: NetworkSetup, client: int) -> TrainingRun:
    """Return how the network learns if this client leaves in the end."""
    topology = network.topology.without([client])
    deleted = np.where(np.arange(network.nodes) == client, network.samples, 0)
    return replace(
        network.training_run,
        mixing=topology.remaining,
        mixing_before=topology.mixing,
        departed=topology.departed,
        deleted=deleted,
        forget_commitment="",
    )


def departure_sentences(network: NetworkSetup, clients: NDArray[np.int64]) -> list[str]:
    """Say what a plan of departures compares, and which departures divide the network.

    Args:
        network: the network that is planned.
        clients: the planned clients.
    """
    assert isinstance(network.graph, nx.Graph)
    divides = sorted(set(nx.articulation_points(network.graph)) & set(clients.tolist()))
    return [
        "Clients leave: the figures of each are for the network that remains without it, which mixes by the same rule.",
        *([_divided(network, divides)] if divides else []),
    ]


def _divided(network: NetworkSetup, clients: Sequence[int]) -> str:
    """Name the clients without which the network falls into parts."""
    named = ", ".join(map(network.client, clients[:_NAMED])) + (" …" if len(clients) > _NAMED else "")
    one = len(clients) == 1
    return (
        f"Without client {named} the network falls into parts that no longer exchange models; each part is certified "
        f"like the whole, but learns from its own data alone{'' if one else f' ({len(clients)} such clients)'}."
    )
