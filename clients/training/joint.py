"""Clients with equally many samples, computed together where that gives the bits of computing each by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from rewindnet.clients.models import Model
from rewindnet.clients.training.bucket import Bucket, Part
from rewindnet.late import torch


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
    if model.elementwise is None or not all(_same_everywhere(f, buckets[0].x.dtype) for f in model.elementwise):
        return None
    groups: dict[int, list[Bucket]] = {}
    for bucket in buckets:
        groups.setdefault(bucket.x.shape[1], []).append(bucket)
    found = [bucket for group in groups.values() for bucket in _join(model, group)]
    return tuple(found) if len(found) < len(buckets) else None


def _join(model: Model, group: Sequence[Bucket]) -> Sequence[Bucket]:
    """Return one bucket of all clients of a group, or their own buckets."""
    if len(group) == 1 or group[0].x.device.type != "cpu":
        return group
    rows, x, y, weight = (torch.cat(own) for own in zip(*(_tensors(bucket) for bucket in group), strict=True))
    together = Bucket(rows, x, y, weight)
    return [together] if _same_bits(model, together, group) else group


def _tensors(bucket: Bucket) -> tuple[torch.Tensor, ...]:
    return bucket.rows, bucket.x, bucket.y, bucket.weight


def _same_bits(model: Model, together: Bucket, alone: Sequence[Bucket]) -> bool:
    """Return whether the gradients of a bucket are, bit for bit, those of its clients by themselves."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(len(alone), model.parameters, dtype=together.x.dtype, generator=generator)

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
