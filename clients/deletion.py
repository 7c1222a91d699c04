"""Deletion requests: which of its own samples a client wants forgotten."""

from collections.abc import Sequence
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from topologies.coins import Purpose, coins

Samples = int | float | Literal["all"] | dict[Literal["class"], int] | dict[Literal["indices"], list[int]]

Counts = NDArray[np.int64]


class DeletionError(ValueError):
    """The request cannot be met; the message says why."""


def forget_set(samples: Samples, labels: NDArray[np.int64], client: int, seed: int) -> NDArray[np.int64]:
    """The positions, in the client's own data, of the samples it deletes: sorted, without repetition.

    Args:
        samples: a count, a fraction in (0, 1], "all", {"class": c} or {"indices": [...]}.
        labels: [n], the class labels of the client's data.
        client: the client that asks.
        seed: counts and fractions are drawn at the client's own address.

    Raises:
        DeletionError: if it deletes nothing, or more than it has.
    """
    n = len(labels)
    if n == 0:
        raise DeletionError(f"client {client} holds no samples, so it has nothing to delete")
    if isinstance(samples, dict):
        return _named(samples, labels, client)
    count = n if samples == "all" else _count(samples, n)
    if not 1 <= count <= n:
        raise DeletionError(f"client {client} has {n} samples; deletion.samples asks for {count} of them")
    chosen = coins(seed, Purpose.FORGET_SET, node=client).choice(n, size=count, replace=False)
    return np.sort(chosen).astype(np.int64)


def deletable(samples: Samples, shards: Sequence[NDArray[np.int64]] | None, sizes: NDArray[np.int64]) -> Counts:
    """How many samples each client would delete if the request came from it: [N], at most what it holds.

    Args:
        samples: as for `forget_set`; indices count, for other clients than the one meant, by their number.
        shards: the labels of each client's data, or None where nobody knows them.
        sizes: [N], how many samples each client holds.

    Raises:
        DeletionError: if a class is named and there are no labels.
    """
    if isinstance(samples, dict):
        ((what, value),) = samples.items()
        if isinstance(value, list):
            return np.asarray(np.minimum(len(value), sizes))
        if shards is None:
            raise DeletionError(f"deletion.samples names a {what}, but without data nobody knows who has samples of it")
        return np.array([np.count_nonzero(labels == value) for labels in shards], dtype=np.int64)
    if isinstance(samples, float):
        return np.asarray(np.maximum(1, np.rint(samples * sizes).astype(np.int64)))
    return sizes if samples == "all" else np.asarray(np.minimum(int(samples), sizes))


def _count(samples: int | float | str, n: int) -> int:
    if isinstance(samples, int) and not isinstance(samples, bool):
        return samples
    if isinstance(samples, float) and isfinite(samples) and 0 < samples <= 1:
        return max(1, round(samples * n))
    raise DeletionError(f"deletion.samples is a count, a fraction in (0, 1], all, a class or indices, not {samples!r}")


def _named(
    samples: dict[Literal["class"], int] | dict[Literal["indices"], list[int]], labels: NDArray[np.int64], client: int
) -> NDArray[np.int64]:
    ((what, value),) = samples.items() if len(samples) == 1 else (("", None),)
    if what == "class":
        chosen = np.flatnonzero(labels == value)
        if chosen.size == 0:
            raise DeletionError(
                f"client {client} has no sample of class {value}; it has {sorted(set(labels.tolist()))}"
            )
        return chosen.astype(np.int64)
    if what != "indices" or not isinstance(value, list) or not value:
        raise DeletionError(
            f"deletion.samples is a count, a fraction in (0, 1], all, a class or indices, not {samples}"
        )
    indices = np.array(sorted(value), dtype=np.int64)
    outside = indices[(indices < 0) | (indices >= len(labels))]
    if outside.size:
        raise DeletionError(f"client {client} has samples 0 to {len(labels) - 1}; deletion.samples names {outside[0]}")
    repeated = indices[1:][np.diff(indices) == 0]
    if repeated.size:
        raise DeletionError(f"deletion.samples names sample {repeated[0]} of client {client} twice")
    return indices
