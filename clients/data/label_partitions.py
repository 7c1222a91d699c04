"""Partitions by label: clients whose classes differ."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.partitions import Integers, PartitionError, Shards, client_count, sorted_shards

DIRICHLET_TRIES = 100


def dirichlet(
    labels: Integers,
    natural: Integers | None,
    clients: int | None,
    generator: np.random.Generator,
    *,
    alpha: float = 0.5,
    min_partition_size: int = 10,
    self_balancing: bool = False,
) -> Shards:
    """Each class divided in Dirichlet(alpha) proportions (small alpha, few classes each); every row is used.

    Args:
        labels: the label of each row, int64 [n].
        natural: not used.
        clients: number of clients; None is 10.
        generator: the source of all randomness.
        alpha: concentration; towards 0 a class falls to one client, towards infinity it is spread evenly.
        min_partition_size: the draw is repeated until each client has so many rows.
        self_balancing: give a client that has reached the average number of rows nothing of the later
            classes.

    Raises:
        PartitionError: if a parameter is out of range, or 100 draws leave a client with fewer rows.

    References:
        Yurochkin et al., "Bayesian nonparametric federated learning of neural networks", ICML 2019.
    """
    count = client_count(clients, len(labels))
    if not (math.isfinite(alpha) and alpha > 0):
        raise PartitionError(f"alpha must be positive and finite, not {alpha}")
    if min_partition_size < 1 or min_partition_size * count > len(labels):
        raise PartitionError(
            f"min_partition_size must lie in 1 … {len(labels) // count} for {count} clients and {len(labels)} "
            f"rows, not {min_partition_size}"
        )
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for _ in range(DIRICHLET_TRIES):
        shards = _dirichlet_draw(groups, count, len(labels) / count, alpha, self_balancing, generator)
        if min(map(len, shards)) >= min_partition_size:
            return sorted_shards(shards)
    raise PartitionError(
        f"{DIRICHLET_TRIES} Dirichlet draws with alpha = {alpha} left one of {count} clients with fewer than "
        f"{min_partition_size} rows; raise alpha, lower min_partition_size, or ask for fewer clients"
    )


def pathological(
    labels: Integers,
    natural: Integers | None,
    clients: int | None,
    generator: np.random.Generator,
    *,
    num_classes_per_partition: int = 2,
    class_assignment_mode: Literal["random", "deterministic", "first-deterministic"] = "random",
) -> Shards:
    """Each client has rows of a fixed number of classes; a class that no client is assigned is left out.

    A class is divided evenly, in random order, among the clients it is assigned to.

    Args:
        labels: the label of each row, int64 [n].
        natural: not used.
        clients: number of clients; None is 10.
        generator: the source of all randomness.
        num_classes_per_partition: number of classes a client has, exactly.
        class_assignment_mode: "random": classes drawn without replacement for each client; "deterministic":
            client i has classes i, i + 1, … (mod the number of classes); "first-deterministic": class i, the
            others drawn.

    Raises:
        PartitionError: if there are fewer classes than asked, or fewer rows of a class than clients that need
            it.

    References:
        Li et al., "Federated learning on non-IID data silos: an experimental study", ICDE 2022.
    """
    count = client_count(clients, len(labels))
    values = np.unique(labels)
    if not 1 <= num_classes_per_partition <= len(values):
        raise PartitionError(
            f"num_classes_per_partition must lie in 1 … {len(values)}, the classes there are, "
            f"not {num_classes_per_partition}"
        )
    holds = _assigned(count, len(values), num_classes_per_partition, class_assignment_mode, generator)
    parts: list[list[Integers]] = [[] for _ in range(count)]
    for column, value in enumerate(values):
        holders = np.flatnonzero(holds[:, column])
        rows = generator.permutation(np.flatnonzero(labels == value))
        if len(holders) > len(rows):
            raise PartitionError(
                f"class {value} has {len(rows)} rows but is assigned to {len(holders)} clients; ask for "
                f"fewer clients or a smaller num_classes_per_partition"
            )
        for client, share in zip(holders, np.array_split(rows, max(len(holders), 1)), strict=False):
            parts[client].append(share)
    return sorted_shards(map(np.concatenate, parts))


def shard(
    labels: Integers,
    natural: Integers | None,
    clients: int | None,
    generator: np.random.Generator,
    *,
    num_shards_per_partition: int = 2,
    shard_size: int | None = None,
) -> Shards:
    """Rows sorted by label and cut into shards, of which each client is dealt a few at random.

    Args:
        labels: the label of each row, int64 [n].
        natural: not used.
        clients: number of clients; None is 10.
        generator: the source of all randomness.
        num_shards_per_partition: number of shards a client has.
        shard_size: rows in a shard; shards that no client is dealt are left out. None cuts all rows into just
            as many shards as are needed, whose sizes differ by one row at most.

    Raises:
        PartitionError: if there are not rows enough for so many shards.

    References:
        McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS
        2017.
    """
    count = client_count(clients, len(labels))
    needed = count * num_shards_per_partition
    if num_shards_per_partition < 1 or (shard_size is not None and shard_size < 1):
        raise PartitionError("num_shards_per_partition and shard_size must be at least 1")
    if needed * (shard_size or 1) > len(labels):
        raise PartitionError(
            f"{count} clients with {num_shards_per_partition} shards of {shard_size or 'at least 1'} rows "
            f"need {needed * (shard_size or 1)} rows, there are {len(labels)}"
        )
    by_label = np.argsort(labels, kind="stable")
    if shard_size is None:
        pieces = np.array_split(by_label, needed)
    else:
        whole = len(labels) // shard_size
        pieces = np.split(by_label[: whole * shard_size], whole)
    dealt = generator.permutation(len(pieces))[:needed].reshape(count, -1)
    return sorted_shards(np.concatenate([pieces[i] for i in own]) for own in dealt)


def _dirichlet_draw(
    groups: Sequence[Integers],
    count: int,
    average: float,
    alpha: float,
    self_balancing: bool,
    generator: np.random.Generator,
) -> Shards:
    """Draw once: every class, in random order, cut in Dirichlet proportions; the shards may be too small."""
    parts: list[list[Integers]] = [[] for _ in range(count)]
    sizes = np.zeros(count, dtype=np.int64)
    for rows in groups:
        shares = generator.dirichlet(np.full(count, alpha))
        if self_balancing:
            shares = _balanced(shares, sizes < average)
        cuts = (np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
        for client, piece in enumerate(np.split(generator.permutation(rows), cuts)):
            parts[client].append(piece)
            sizes[client] += len(piece)
    return [np.concatenate(pieces) for pieces in parts]


def _balanced(shares: NDArray[np.float64], below: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the shares of the clients below the average, scaled to sum to 1; even shares where theirs are all 0."""
    scaled = np.where(below, shares, 0.0)
    if scaled.sum() == 0:
        scaled = below.astype(np.float64)
    return np.asarray(scaled / scaled.sum())


def _assigned(count: int, classes: int, each: int, mode: str, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return whether a client has a class, bool [count, classes], `each` true in every row."""
    holds = np.zeros((count, classes), dtype=np.bool_)
    for client in range(count):
        if mode == "deterministic":
            chosen = (client + np.arange(each)) % classes
        elif mode == "first-deterministic":
            first = client % classes
            others = np.delete(np.arange(classes), first)
            chosen = np.append(generator.choice(others, each - 1, replace=False), first)
        elif mode == "random":
            chosen = generator.choice(classes, each, replace=False)
        else:
            raise PartitionError(
                f"class_assignment_mode must be random, deterministic or first-deterministic, not {mode!r}"
            )
        holds[client, chosen] = True
    return holds
