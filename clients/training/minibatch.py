"""Minibatches: the samples that the clients of a block use in one local step, bucket by bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.training.bucket import Bucket, Part

if TYPE_CHECKING:
    from torch import Tensor


class Minibatch(NamedTuple):
    """The samples that the clients of a block use in one local step.

    Attributes:
        weights: of the samples of each bucket, [k, n], or [k, B] of those at `places`; None: those of all samples that
            the clients hold.
        participating: [b], which clients take the step; None: all of them.
        gradients: [b], how many per-sample gradients the step is counted as, of clients that take it; None: one for
            every sample that has a weight.
        places: of each bucket, which samples the weights are of, as in `Batch`; None: of all.
        drawn: of each bucket, how many of the places each client uses, as in `Batch`.
    """

    weights: tuple[Tensor, ...] | None = None
    participating: NDArray[np.bool_] | None = None
    gradients: NDArray[np.int64] | None = None
    places: tuple[Tensor | None, ...] | None = None
    drawn: tuple[NDArray[np.int64], ...] = ()


class BlockPart(NamedTuple):
    """Clients of one bucket that are computed at once, through all local steps.

    Attributes:
        at: which bucket of the block it is.
        bucket: the bucket.
        clients: which of its clients.
    """

    at: int
    bucket: Bucket
    clients: Part

    def batches(self, minibatches: Sequence[Minibatch]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield designs [k, B, q], targets and weights [k, B] of each minibatch."""
        for minibatch in minibatches:
            places = None if minibatch.places is None else minibatch.places[self.at]
            weight = self.bucket.weight if minibatch.weights is None else minibatch.weights[self.at]
            weight = weight[self.clients]
            if places is not None:
                used = slice(max(1, int(minibatch.drawn[self.at][self.clients].max())))
                places, weight = places[self.clients][:, used], weight[:, used]
            yield *self.bucket.samples(self.clients, places), weight

    def found(self, rows: Sequence[int]) -> list[tuple[int, int]]:
        """Return which of these rows of the block are in this part: (place among the rows, place in the part)."""
        if not rows:
            return []
        own = self.bucket.rows[self.clients].tolist()
        return [(at, own.index(row)) for at, row in enumerate(rows) if row in own]


def most_used(minibatches: Sequence[Minibatch], at: int, bucket: Bucket) -> int:
    """Return how many samples a client of a bucket uses in a step, at most."""
    places = [None if minibatch.places is None else minibatch.places[at] for minibatch in minibatches]
    return max(bucket.x.shape[1] if chosen is None else chosen.shape[1] for chosen in places)
