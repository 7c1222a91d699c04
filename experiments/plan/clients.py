"""Select the clients that are planned, and compute what may make them hard to forget."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.topologies import Stream, adjacency
from rewindnet.topologies.distances import hop_distances, rounds_to_mix
from rewindnet.topologies.graphs.edges import edge_array
from rewindnet.topologies.rng import rng_at

Counts = NDArray[np.int64]

#: The largest number of products of a matrix entry with a vector entry; they take about half a minute.
_WORK = 8_000_000_000
#: The largest number of rounds of the recursion where every client leaves a network of its own; about half a minute.
_ROUNDS = 30_000
#: The largest number of clients that are planned unless the user asks for more; above it, some represent the others.
_MANY = 2_000
#: All depths are planned only if there is time to plan them for this many clients.
_FEW = 8


@dataclass(frozen=True, eq=False)
class Selection:
    """The clients and depths that are planned.

    Attributes:
        clients: [k], the nodes; the deleting client of the scenario comes first.
        roles: for each client that represents others, why it was selected.
        rewound: the depths K planned for placement rewind; these are all planned depths.
        descent_rounds: the depths K planned for placement output, a subset of `rewound`.
        sentence: describes the selection for readers of the plan.
    """

    clients: NDArray[np.int64]
    roles: dict[int, str]
    rewound: frozenset[int]
    descent_rounds: frozenset[int]
    sentence: str


@dataclass(frozen=True, eq=False)
class ClientFacts:
    """Properties of clients that may make them hard to forget; every array is [k].

    Attributes:
        degree: the number of neighbours.
        samples: n, the number of samples of the client.
        deleted: m, the number of samples that it deletes.
        weight: the most by which one of its local steps differs, in units of G: 2m/n, or 1 if it deletes all samples.
        distance: the mean number of hops to the other clients.
        farthest: the number of hops to the farthest client.
        mixed: the number of rounds until its messages are spread about evenly over all clients; −1 if learning ends
            before.
    """

    degree: NDArray[np.int64]
    samples: NDArray[np.int64]
    deleted: NDArray[np.int64]
    weight: NDArray[np.float64]
    distance: NDArray[np.float64]
    farthest: NDArray[np.int64]
    mixed: NDArray[np.int64]


def select_clients(
    network: NetworkSetup,
    deleted: Counts,
    required: Collection[int],
    ladder: Collection[int],
    regimes: int,
    clients: int | None,
) -> Selection:
    """Select as many clients and depths as can be planned in about half a minute.

    Args:
        network: the network that is planned.
        deleted: [N], the number of samples that each client would delete.
        required: the depths that must be planned for placement output.
        ladder: all depths that may be planned, including the required ones.
        regimes: the number of regimes of the objective, each of which is computed separately.
        clients: the number of clients that the user asks for; None leaves it open.
    """
    N, T = network.mixing.nodes, network.training_run.rounds
    deletable = np.flatnonzero(deleted)
    work = 2 * network.mixing.matrix(0).nnz * regimes
    rewound = descent_rounds = frozenset(ladder)
    if work * (T + sum(descent_rounds)) * min(len(deletable), clients or _FEW, _FEW) > _WORK:
        descent_rounds = frozenset(required)
        rewound = frozenset(depth for depth in ladder if depth >= min(required))
    affordable = int(np.clip(_WORK // (work * (T + sum(descent_rounds))), 1, _MANY))
    if network.training_run.departed:
        affordable = min(affordable, max(1, _ROUNDS // (regimes * (T + sum(descent_rounds)))))
    count = min(len(deletable), clients or affordable)
    roles = _roles(network, deleted, deletable, count)
    if count == len(deletable):
        requesting = network.requesting
        ordered = np.concatenate([[requesting], deletable[deletable != requesting]])
        sentence = (
            "Every client is planned."
            if count == N
            else f"The plan covers the {count} of {N} clients that have such samples."
        )
        return Selection(ordered, {requesting: roles[requesting]}, rewound, descent_rounds, sentence)
    sentence = f"The plan covers {count} of {N} clients, as representatives: {_listed(roles, network)}."
    return Selection(np.array(list(roles), dtype=np.int64), roles, rewound, descent_rounds, sentence)


def _roles(network: NetworkSetup, deleted: Counts, deletable: Counts, count: int) -> dict[int, str]:
    """Select clients that represent the others: the requesting client, the extremes, and then random ones.

    Args:
        network: the network that is planned.
        deleted: [N], the number of samples that each client would delete.
        deletable: the clients that have samples to delete.
        count: the number of clients to select.

    Returns:
        For each selected client, why it is selected.
    """
    requesting, N = network.requesting, network.mixing.nodes
    roles = {requesting: "asks"}
    if count > 1:
        degree = np.bincount(edge_array(network.graph).ravel(), minlength=N)[deletable]
        weight = _weight(deleted, network.samples)[deletable]
        hops = hop_distances(adjacency(network.graph), requesting)[deletable]
        extremes = [
            (int(degree.argmin()), "lowest degree"),
            (int(degree.argmax()), "highest degree"),
            (int(weight.argmax()), "deletes the largest share"),
            (int(weight.argmin()), "deletes the smallest share"),
            (int(hops.argmax()), f"farthest from {network.client(requesting)}"),
        ]
        for position, role in extremes[: count - 1]:
            roles.setdefault(int(deletable[position]), role)
        drawn = rng_at(network.scenario.seed, Stream.PLAN).permutation(deletable)
        for client in drawn[: count + len(roles)].tolist():
            if len(roles) < count:
                roles.setdefault(client, "drawn")
    return roles


def _listed(roles: dict[int, str], network: NetworkSetup) -> str:
    """Name the selected clients with their roles, and count those that were drawn at random."""
    named = [f"{network.client(client)} ({role})" for client, role in roles.items() if role != "drawn"]
    drawn = len(roles) - len(named)
    return ", ".join(named) + (f", and {drawn} drawn at random" if drawn else "")


def client_facts(network: NetworkSetup, deleted: Counts, clients: Counts) -> ClientFacts:
    """Compute what may make clients hard to forget.

    Args:
        network: the network that is planned.
        deleted: [N], the number of samples that each client would delete.
        clients: [k], the clients to describe.
    """
    links = adjacency(network.graph)
    hops = [hop_distances(links, client) for client in clients.tolist()]
    others = max(1, network.mixing.nodes - 1)
    samples, deletions = network.samples[clients], deleted[clients]
    return ClientFacts(
        degree=np.diff(links.indptr)[clients].astype(np.int64),
        samples=samples,
        deleted=deletions,
        weight=_weight(deletions, samples),
        distance=np.array([float(hop.sum()) / others for hop in hops]),
        farthest=np.array([int(hop.max()) for hop in hops], dtype=np.int64),
        mixed=rounds_to_mix(network.mixing, clients, network.training_run.rounds),
    )


def _weight(deleted: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the bound on the difference of one local step, in units of G; see `ClientFacts.weight`."""
    return np.asarray(np.where(deleted == samples, 1.0, 2 * deleted / samples))
