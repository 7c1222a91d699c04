"""Which clients a plan is made for, and what may make them hard to forget."""

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

#: Products, at most, of a sparse matrix's entries with those of a vector: half a minute or so.
_WORK = 8_000_000_000
#: Above this many, clients are represented by some of them.
_MANY = 2_000
#: For fewer clients than this the ladder of depths is not worth its time.
_FEW = 8


@dataclass(frozen=True, eq=False)
class Selection:
    """Which clients are planned.

    Attributes:
        clients: [k], the scenario's own first.
        roles: why a client is among them, where not all are.
        rewound: the depths planned for placement rewind, all that are planned.
        descent_rounds: those of them planned for placement output.
        sentence: about it, for readers of the plan.
    """

    clients: NDArray[np.int64]
    roles: dict[int, str]
    rewound: frozenset[int]
    descent_rounds: frozenset[int]
    sentence: str


@dataclass(frozen=True, eq=False)
class Facts:
    """What may make clients hard to forget; all [k].

    Attributes:
        degree: the number of neighbours.
        samples: how many a client holds.
        deleted: how many of them it deletes.
        weight: what its data contribute: by how many G a step at it differs, 2m/n, or 1 where it deletes everything.
        distance: links to the other clients, on average.
        farthest: links to the farthest client.
        mixed: rounds until what it sends is spread about evenly over all clients; −1 if learning ends before.
    """

    degree: NDArray[np.int64]
    samples: NDArray[np.int64]
    deleted: NDArray[np.int64]
    weight: NDArray[np.float64]
    distance: NDArray[np.float64]
    farthest: NDArray[np.int64]
    mixed: NDArray[np.int64]


def select(
    network: NetworkSetup,
    deleted: Counts,
    required: Collection[int],
    ladder: Collection[int],
    regimes: int,
    clients: int | None,
) -> Selection:
    """Choose as many clients and depths to plan as there is time for.

    Args:
        network: that is planned.
        deleted: [N], how many samples each client would delete.
        required: the depths that must be planned for placement output.
        ladder: the depths that may be, the required ones among them.
        regimes: how often everything is computed.
        clients: how many clients are wanted; None leaves it open.
    """
    N, T = network.mixing.nodes, network.training_run.rounds
    able = np.flatnonzero(deleted)
    work = 2 * network.mixing.matrix(0).nnz * regimes
    rewound = descent_rounds = frozenset(ladder)
    if work * (T + sum(descent_rounds)) * min(len(able), clients or _FEW, _FEW) > _WORK:
        descent_rounds = frozenset(required)
        rewound = frozenset(depth for depth in ladder if depth >= min(required))
    affordable = int(np.clip(_WORK // (work * (T + sum(descent_rounds))), 1, _MANY))
    count = min(len(able), clients or affordable)
    roles = _roles(network, deleted, able, count)
    if count == len(able):
        own = network.scenario.deletion.each[0].client
        everyone = np.concatenate([[own], able[able != own]])
        sentence = "Every client is planned." if count == N else f"Planned are the {count} of {N} with such samples."
        return Selection(everyone, {own: roles[own]}, rewound, descent_rounds, sentence)
    sentence = f"Planned are {count} of {N} clients, as representatives: {_listed(roles)}."
    return Selection(np.array(list(roles), dtype=np.int64), roles, rewound, descent_rounds, sentence)


def _roles(network: NetworkSetup, deleted: Counts, able: Counts, count: int) -> dict[int, str]:
    """Choose clients that stand for the others: the scenario's own, the extremes, and then some at random.

    Args:
        network: that is planned.
        deleted: [N], how many samples each client would delete.
        able: the clients that have any.
        count: how many to choose.

    Returns:
        For each of them, why it is chosen.
    """
    own, N = network.scenario.deletion.each[0].client, network.mixing.nodes
    roles = {own: "asks"}
    if count > 1:
        degree = np.bincount(edge_array(network.graph).ravel(), minlength=N)[able]
        weight = _weight(deleted, network.samples)[able]
        hops = hop_distances(adjacency(network.graph), own)[able]
        extremes = [
            (int(degree.argmin()), "lowest degree"),
            (int(degree.argmax()), "highest degree"),
            (int(weight.argmax()), "deletes the largest share"),
            (int(weight.argmin()), "deletes the smallest share"),
            (int(hops.argmax()), f"farthest from {own}"),
        ]
        for position, role in extremes[: count - 1]:
            roles.setdefault(int(able[position]), role)
        drawn = rng_at(network.scenario.seed, Stream.PLAN).permutation(able)
        for client in drawn[: count + len(roles)].tolist():
            if len(roles) < count:
                roles.setdefault(client, "drawn")
    return roles


def _listed(roles: dict[int, str]) -> str:
    named = [f"{client} ({role})" for client, role in roles.items() if role != "drawn"]
    drawn = len(roles) - len(named)
    return ", ".join(named) + (f", and {drawn} drawn at random" if drawn else "")


def facts(network: NetworkSetup, deleted: Counts, clients: Counts) -> Facts:
    """Work out what may make these clients hard to forget.

    Args:
        network: that is planned.
        deleted: [N], how many samples each client would delete.
        clients: [k], the clients.
    """
    links = adjacency(network.graph)
    hops = [hop_distances(links, client) for client in clients.tolist()]
    others = max(1, network.mixing.nodes - 1)
    samples, own = network.samples[clients], deleted[clients]
    return Facts(
        degree=np.diff(links.indptr)[clients].astype(np.int64),
        samples=samples,
        deleted=own,
        weight=_weight(own, samples),
        distance=np.array([float(hop.sum()) / others for hop in hops]),
        farthest=np.array([int(hop.max()) for hop in hops], dtype=np.int64),
        mixed=rounds_to_mix(network.mixing, clients, network.training_run.rounds),
    )


def _weight(deleted: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.where(deleted == samples, 1.0, 2 * deleted / samples))
