"""Deletion requests: which of its own samples a client wants forgotten."""

import os
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.forget_sets import SALT_BYTES
from rewindnet.errors import UserError
from rewindnet.topologies.rng import Stream, rng_at

Samples = int | float | Literal["all"] | dict[Literal["class"], int] | dict[Literal["indices"], list[int]]

Counts = NDArray[np.int64]


class DeletionError(UserError):
    """The request cannot be met; the message says why."""


class DeletionRequest(NamedTuple):
    """A request of a client to forget samples of its own, after so many rounds of learning."""

    client: int
    samples: Samples
    round: int


class Arrival(NamedTuple):
    """A round at which requests arrive, and what is to be forgotten by then, of them and of all before.

    `forget`: for each deleting client, the positions in its own data. `salt`: that of the commitment to it, 32 bytes.
    """

    round: int
    forget: Mapping[int, NDArray[np.int64]]
    salt: bytes


def arrivals(
    requests: Sequence[DeletionRequest],
    labels: Sequence[NDArray[np.int64]],
    rounds: int,
    seed: int,
    secret: bool = False,
) -> list[Arrival]:
    """Return what is to be forgotten, request by request; requests of one round arrive together.

    Args:
        requests: in the order in which they arrive.
        labels: the class labels of each client's data.
        rounds: T; the last request arrives when learning ends.
        seed: counts and fractions are drawn at the client's own address.
        secret: whether salts come from the operating system, and not from the seed.

    Raises:
        DeletionError: if a request is for a round that has passed or is never reached, a client does not exist, deletes
            a sample twice, or more than it has.
    """
    met: dict[int, NDArray[np.int64]] = {}
    arrived: list[Arrival] = []
    for number, (client, samples, round) in enumerate(requests):
        if arrived and round < arrived[-1].round:
            raise DeletionError(
                f"deletion.requests.{number} arrives at round {round}, which has passed when the request before it "
                f"arrives, at round {arrived[-1].round}"
            )
        if round > rounds:
            raise DeletionError(f"a request arrives at round {round}, but learning ends after {rounds}")
        if client >= len(labels):
            raise DeletionError(f"deletion.client {client} does not exist; clients are 0 to {len(labels) - 1}")
        before = met.get(client, np.empty(0, dtype=np.int64))
        met = {**met, client: np.union1d(before, _again(samples, labels[client], client, seed, before, number))}
        if arrived and arrived[-1].round == round:
            arrived.pop()
        salt = os.urandom(SALT_BYTES) if secret else forget_salt(seed, len(arrived))
        arrived.append(Arrival(round, dict(sorted(met.items())), salt))
    if arrived[-1].round < rounds:
        raise DeletionError(
            f"the last request arrives at round {arrived[-1].round}, and no client asks for anything in the rounds up "
            f"to {rounds}; let it arrive when learning ends, or learn for {arrived[-1].round} rounds"
        )
    return arrived


def forget_salt(seed: int, request: int) -> bytes:
    """Return the salt of the commitment to a forget set in a repeatable simulation.

    It hides nothing from those who know the seed.

    Args:
        seed: the seed of the simulation.
        request: the number of the arrival.
    """
    return rng_at(seed, Stream.FORGET_SALT, request).bytes(SALT_BYTES)


def _again(
    samples: Samples, labels: NDArray[np.int64], client: int, seed: int, before: NDArray[np.int64], number: int
) -> NDArray[np.int64]:
    """Return the forget set of a client that may have deleted samples before."""
    if not len(before):
        return forget_set(samples, labels, client, seed)
    remaining = np.setdiff1d(np.arange(len(labels)), before)
    if not len(remaining):
        raise DeletionError(f"client {client} deletes twice: all of its samples are deleted before request {number}")
    if isinstance(samples, dict) and "indices" in samples:
        chosen = forget_set(samples, labels, client, seed)
        twice = np.intersect1d(chosen, before)
        if len(twice):
            raise DeletionError(
                f"client {client} deletes twice: its sample {twice[0]} is deleted before request {number}"
            )
        return chosen
    return remaining[forget_set(samples, labels[remaining], client, seed, number)]


def forget_set(
    samples: Samples, labels: NDArray[np.int64], client: int, seed: int, request: int = 0
) -> NDArray[np.int64]:
    """Return the positions, in the client's own data, of the samples it deletes: sorted, without repetition.

    Args:
        samples: a count, a fraction in (0, 1], "all", {"class": c} or {"indices": [...]}.
        labels: [n], the class labels of the client's data.
        client: the client that asks.
        seed: counts and fractions are drawn at the client's own address.
        request: the number of the request, where the client has made others before.

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
    chosen = rng_at(seed, Stream.FORGET_SET, request, client).choice(n, size=count, replace=False)
    return np.sort(chosen).astype(np.int64)


def deletable(samples: Samples, shards: Sequence[NDArray[np.int64]] | None, sizes: NDArray[np.int64]) -> Counts:
    """Return how many samples each client would delete if the request came from it: [N], at most what it holds.

    Args:
        samples: as for `forget_set`; indices count, for other clients than the one meant, by their number.
        shards: the labels of each client's data, or None where they are not known.
        sizes: [N], how many samples each client holds.

    Raises:
        DeletionError: if a class is named and there are no labels.
    """
    if isinstance(samples, dict):
        ((what, value),) = samples.items()
        if isinstance(value, list):
            return np.asarray(np.minimum(len(value), sizes))
        if shards is None:
            raise DeletionError(
                f"deletion.samples names a {what}, but without data it is not known which clients have samples of it"
            )
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
