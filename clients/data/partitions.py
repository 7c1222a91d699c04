"""Partitions: which client holds which training rows.

Kinds and parameter names follow the partitioners of the flwr-datasets library, so that a setting can be
carried over; the draws are our own, from one generator.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.errors import UserError
from rewindnet.registry import Registry

Integers = NDArray[np.int64]
Shards = list[Integers]

DEFAULT_CLIENTS = 10


class PartitionError(UserError):
    """A partition that cannot be made, in a sentence that says what to change."""


def iid(labels: Integers, natural: Integers | None, clients: int | None, generator: np.random.Generator) -> Shards:
    """Rows dealt out at random, as evenly as possible; every row is used.

    Args:
        labels: the label of each row, int64 [n].
        natural: not used.
        clients: number of clients; None is 10.
        generator: the source of all randomness.

    Raises:
        PartitionError: if there are fewer rows than clients.
    """
    count = client_count(clients, len(labels))
    return sorted_shards(np.array_split(generator.permutation(len(labels)), count))


def size(
    labels: Integers,
    natural: Integers | None,
    clients: int | None,
    generator: np.random.Generator,
    *,
    partition_sizes: list[int] | None = None,
) -> Shards:
    """Rows dealt out at random, a given number to each client; rows beyond their sum are left out.

    Args:
        labels: the label of each row, int64 [n].
        natural: not used.
        clients: number of clients; None takes as many as there are sizes.
        generator: the source of all randomness.
        partition_sizes: number of rows of each client; must be given.

    Raises:
        PartitionError: if the sizes are missing, not positive, not one a client, or exceed the rows there
            are.
    """
    if not partition_sizes or min(partition_sizes) < 1:
        raise PartitionError(f"partition_sizes must list a number of rows ≥ 1 for each client, not {partition_sizes}")
    if clients is not None and clients != len(partition_sizes):
        raise PartitionError(f"{clients} clients were asked for, but partition_sizes has {len(partition_sizes)}")
    if sum(partition_sizes) > len(labels):
        raise PartitionError(f"partition_sizes sum to {sum(partition_sizes)}, there are {len(labels)} rows")
    return sorted_shards(np.split(generator.permutation(len(labels)), np.cumsum(partition_sizes))[:-1])


def natural(labels: Integers, natural: Integers | None, clients: int | None, generator: np.random.Generator) -> Shards:
    """One client per writer, person or whatever the data came from, in the order of their ids.

    Args:
        labels: the label of each row, int64 [n].
        natural: the id of the natural client of each row, int64 [n].
        clients: take the clients with the smallest so many ids, and leave the other rows out; None takes all.
        generator: not used.

    Raises:
        PartitionError: if the data have no natural clients, or fewer than asked.
    """
    if natural is None:
        raise PartitionError("these data have no natural clients; choose another kind of partition, such as iid")
    ids, owner = np.unique(natural, return_inverse=True)
    count = len(ids) if clients is None else clients
    if not 1 <= count <= len(ids):
        raise PartitionError(f"the number of natural clients must lie in 1 … {len(ids)}, not {count}")
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner))[:-1])[:count]


def declared(
    labels: Integers,
    natural: Integers | None,
    clients: int | None,
    generator: np.random.Generator,
    *,
    samples: int | list[int] = 100,
) -> Shards:
    """Clients known by their numbers of samples alone: for `rewindnet plan`; nothing can be learned from them.

    Args:
        labels: not used.
        natural: not used.
        clients: number of clients; None takes as many as there are numbers in `samples`.
        generator: not used.
        samples: how many each client holds, or a number for every client.

    Raises:
        PartitionError: always; see `declared_sizes` for what a plan makes of it.
    """
    raise PartitionError(
        "a partition of the kind declared says how many samples clients hold, not which; it can be planned with, by "
        "rewindnet plan, but not run: choose another kind, such as iid"
    )


def declared_sizes(clients: int | None, samples: int | list[int]) -> Integers:
    """Return [N], how many samples each client of the partition `declared` holds.

    Raises:
        PartitionError: if they are not positive, or not one a client.
    """
    if isinstance(samples, int):
        count = DEFAULT_CLIENTS if clients is None else clients
        sizes = np.full(count, samples, dtype=np.int64)
    else:
        sizes = np.array(samples, dtype=np.int64)
    if not sizes.size or sizes.min() < 1:
        raise PartitionError(f"samples is a positive number for every client, or one each, not {samples!s:.80}")
    if clients not in (None, len(sizes)):
        raise PartitionError(f"{clients} clients were asked for, but samples has {len(sizes)} numbers")
    return sizes


#: Called as `kind(labels, natural, clients, generator, *, settings)`.
PARTITIONS: Registry[Callable[..., Shards]] = Registry(
    "partition",
    {
        "iid": iid,
        "dirichlet": "rewindnet.clients.data.label_partitions:dirichlet",
        "pathological": "rewindnet.clients.data.label_partitions:pathological",
        "shard": "rewindnet.clients.data.label_partitions:shard",
        "size": size,
        "natural": natural,
        "declared": declared,
    },
    PartitionError,
)


def partition(
    kind: str,
    labels: Integers,
    natural: Integers | None,
    clients: int | None,
    generator: np.random.Generator,
    **parameters: Any,
) -> Shards:
    """Return the rows of each client: sorted int64 indices, disjoint, at least one row a client.

    Args:
        kind: a key of `PARTITIONS`.
        labels: the label of each row, int64 [n].
        natural: the natural client of each row, int64 [n], or None.
        clients: number of clients; None is 10, or all natural ones, or one for each given size.
        generator: the source of all randomness; the same generator state gives the same partition.
        parameters: the kind's own keyword-only parameters.

    Raises:
        PartitionError: if the kind or a parameter is unknown or out of range, or there are too few rows.
    """
    shards: Shards = PARTITIONS.build(kind, labels, natural, clients, generator, **parameters)
    return shards


def has_own_clients(kind: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a partition says by itself how many clients there are, where no number is given.

    Args:
        kind: a key of `PARTITIONS`.
        settings: the kind's own parameters.
    """
    return PARTITIONS[kind] in (natural, size) or isinstance(settings.get("samples"), list)


def client_count(clients: int | None, rows: int) -> int:
    """Return the number of clients; None is 10.

    Raises:
        PartitionError: if it is not at least 1 and at most the number of rows.
    """
    count = DEFAULT_CLIENTS if clients is None else clients
    if not 1 <= count <= rows:
        raise PartitionError(f"the number of clients must lie in 1 … {rows}, the rows there are, not {count}")
    return count


def sorted_shards(shards: Iterable[Integers]) -> Shards:
    """Return the rows of each client in increasing order, as int64."""
    return [np.sort(rows).astype(np.int64, copy=False) for rows in shards]
