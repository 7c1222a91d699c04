"""Clients with equally many samples, computed together where that gives the bits of computing each by itself.

Batches that are drawn have as many samples as the draw says, and a product of matrices of other shapes has other bits.
So clients fill their batches with samples of weight zero up to a multiple of `MULTIPLE`: clients that then have equally
many are computed together. What a client computes depends on its own draw alone, never on who is computed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.models import Model
from rewindnet.clients.training.bucket import CACHED_GATHERED, Bucket, Part
from rewindnet.clients.training.local_training import LocalTraining
from rewindnet.late import torch

#: Whether a bucket of several clients may take the place of their own.
_May: TypeAlias = Callable[[Bucket, Sequence[Bucket]], bool]

#: Batches are filled to a multiple of so many samples.
MULTIPLE = 8

#: Clients whose batches are filled are padded to a multiple of so many samples, 64 bytes of numbers or more: so the
#: samples of each begin where those of a client by itself would. In single precision, clients have so many at least.
ROWS = 16

#: The most clients with filled batches that are tried out together.
_MOST = 64

#: How often clients are tried out together, at least where they have few numbers: a number is not always rounded.
_TRIALS, _NUMBERS = 8, 1 << 22


def fills_batches(model: Model, how: LocalTraining) -> bool:
    """Return whether clients that are computed node by node fill their batches: where they may be computed together."""
    return model.elementwise is not None and how.sampling is not None and how.plain and how.augmentation is None


def filled_parts(model: Model, bucket: Bucket, used: NDArray[np.int64], acts: NDArray[np.bool_]) -> list[Part]:
    """Return the clients with filled batches that are computed at once.

    Args:
        model: the model of every client.
        bucket: clients that were `grouped`, or one client.
        used: [k], how many samples each uses in the steps of a round, filled.
        acts: [k], which of them take the steps.
    """
    if len(used) == 1:
        return [slice(0, 1)] if acts[0] else []
    parts: list[Part] = []
    for size in np.unique(used[acts]).tolist():
        clients = torch.from_numpy(np.flatnonzero(acts & (used == size)))
        most = _most_with_filled_batches(model, bucket.x.dtype, bucket.x.shape[2], size)
        while len(clients):
            count = min(most, 1 << (len(clients).bit_length() - 1))
            parts.append(clients[:count])
            clients = clients[count:]
    return parts


@lru_cache(maxsize=256)
def _most_with_filled_batches(model: Model, dtype: torch.dtype, inputs: int, samples: int) -> int:
    """Return how many clients, a power of two, keep every bit together with so many gathered samples each; 1: none."""
    fit = min(_MOST, CACHED_GATHERED // dtype.itemsize // (samples * inputs))
    if fit < 2 or not _rounds_everywhere_alike(model, dtype):
        return 1
    most = 1 << (fit.bit_length() - 1)
    rng = torch.Generator().manual_seed(0)
    y = torch.from_numpy(model.targets(np.arange(most * samples) % 2)).view(most, samples)
    weight = torch.full((most, samples), 1 / samples, dtype=dtype)
    for _ in range(_trials(most * model.parameters)):
        x = torch.randn(most, samples, inputs, dtype=dtype, generator=rng)
        theta = torch.randn(most, model.parameters, dtype=dtype, generator=rng)
        alone = torch.cat([_gradient(model, *(own[k : k + 1] for own in (theta, x, y, weight))) for k in range(most)])
        for count in (1 << power for power in range(1, most.bit_length())):
            if not torch.equal(_gradient(model, *(own[:count] for own in (theta, x, y, weight))), alone[:count]):
                return 1
    return most


def _gradient(model: Model, *given: torch.Tensor) -> torch.Tensor:
    """Return the gradients [k, d] from copies of θ, x, y and weight, which begin where new tensors do."""
    theta, x, y, weight = (tensor.clone() for tensor in given)
    return model.gradient(theta, x, y, weight)


def _trials(numbers: int) -> int:
    """Return how often to compare so many numbers."""
    return max(1, min(_TRIALS, _NUMBERS // max(1, numbers)))


def joined(model: Model, buckets: Sequence[Bucket]) -> tuple[Bucket, ...] | None:
    """Put clients with equally many samples together, if their gradients keep every bit.

    In two things bits may differ. Nothing promises that a product of many matrices is taken by the instructions of one:
    so each group is tried out on its own data, at random parameters, as it will be computed. And a function such as
    exp may be rounded by where in memory a number is: so those that the model names are tried out as well, and a model
    that does not name them is left alone. Groups in which any bit is another, and clients that no other is like, stay
    by themselves. Samples that are erased leave holes, so that what has been tried out remains true.

    Args:
        model: the model of every client.
        buckets: each with one client.

    Returns:
        The buckets of all clients; None if all of them stay by themselves.
    """
    if not _rounds_everywhere_alike(model, buckets[0].x.dtype):
        return None
    found = _grouped(buckets, lambda together, group: _same_bits(model, together, group))
    return found if len(found) < len(buckets) else None


def grouped(buckets: Sequence[Bucket]) -> tuple[Bucket, ...]:
    """Put clients with equally many samples together, for batches that are filled.

    Args:
        buckets: each with one client.
    """
    return _grouped(buckets, lambda together, group: True)


def _grouped(buckets: Sequence[Bucket], may: _May) -> tuple[Bucket, ...]:
    """Put clients with equally many samples into one bucket, where they may be."""
    groups: dict[int, list[Bucket]] = {}
    for bucket in buckets:
        groups.setdefault(bucket.x.shape[1], []).append(bucket)
    found: list[Bucket] = []
    for group in groups.values():
        if len(group) == 1 or group[0].x.device.type != "cpu":
            found += group
            continue
        together = Bucket(*(torch.cat(own) for own in zip(*(_tensors(bucket) for bucket in group), strict=True)))
        found += [together] if may(together, group) else group
    return tuple(found)


def _rounds_everywhere_alike(model: Model, dtype: torch.dtype) -> bool:
    """Return whether a model names its functions of single numbers, and they round wherever in memory alike."""
    return model.elementwise is not None and all(_same_everywhere(f, dtype) for f in model.elementwise)


def _tensors(bucket: Bucket) -> tuple[torch.Tensor, ...]:
    return bucket.rows, bucket.x, bucket.y, bucket.weight


def _same_bits(model: Model, together: Bucket, alone: Sequence[Bucket]) -> bool:
    """Return whether the gradients of a bucket are, bit for bit, those of its clients by themselves."""
    generator = torch.Generator().manual_seed(0)
    size = len(alone), model.parameters
    return all(
        _same_gradients(model, torch.randn(size, dtype=together.x.dtype, generator=generator), together, alone)
        for _ in range(_trials(size[0] * size[1]))
    )


def _same_gradients(model: Model, theta: torch.Tensor, together: Bucket, alone: Sequence[Bucket]) -> bool:
    """Return whether the gradients at θ [k, d] are alike to the bit, of clients together and by themselves."""

    def gradient(bucket: Bucket, k: Part, rows: Part) -> torch.Tensor:
        return model.gradient(theta[rows].clone(), bucket.x[k], bucket.y[k], bucket.weight[k])

    for part in together.parts:
        found = gradient(together, part, part)
        for at, k in enumerate(range(part.start, part.stop)):
            one = slice(k, k + 1)
            by_itself, in_place = gradient(alone[k], slice(0, 1), one), gradient(together, one, one)
            if not (torch.equal(found[at], by_itself[0]) and torch.equal(in_place, by_itself)):
                return False
    return True


@cache
def _same_everywhere(function: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype) -> bool:
    """Return whether a function of single numbers has the same bits wherever in memory they are."""
    numbers = torch.randn(1 << 12, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 4
    expected, shifted = function(numbers), torch.empty(len(numbers) + 40, dtype=dtype)
    for offset in range(40):
        moved = shifted[offset : offset + len(numbers) - offset % 19]
        if not torch.equal(function(moved.copy_(numbers[: len(moved)])), expected[: len(moved)]):
            return False
    return all(torch.equal(function(numbers[:n].clone()), expected[:n]) for n in range(1, 200))


def separate(buckets: Sequence[Bucket]) -> tuple[Bucket, ...]:
    """Return a bucket for each client, in the order of their rows, in the memory of the given ones."""
    alone = [
        Bucket(bucket.rows[one], bucket.x[one], bucket.y[one], bucket.weight[one])
        for bucket in buckets
        for one in (slice(k, k + 1) for k in range(len(bucket.rows)))
    ]
    return tuple(sorted(alone, key=lambda bucket: int(bucket.rows)))
