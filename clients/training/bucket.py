"""Buckets: clients of similar size, their samples padded to one shape so that they are computed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.training.envelope import reduced_design
from rewindnet.clients.training.parallel import split
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Entries of x that are computed at once on a CPU with all samples.
_CACHED = 1 << 20

#: Bytes of gathered batches that are computed at once on a CPU: they are written first, and read twice.
CACHED_GATHERED = 1 << 21

#: Nodes share a padded bucket while the smallest has at least this share of the largest's samples.
_FULLNESS = 0.8

#: Batches of at most this share of the samples are gathered; larger ones give the other samples weight zero.
_GATHERED = 0.75

#: Some clients of a bucket.
Part: TypeAlias = "slice | Tensor"


class Batch(NamedTuple):
    """What the clients of a bucket use in one local step.

    Attributes:
        weight: [k, n], of each sample; or [k, B], of those at `places`. 1/B_i for samples of the batch that client i
            holds, 0 for all else.
        places: [k, B], the samples among all of the bucket, client after client; None: all of them are used.
        read: [k], how many samples each client reads.
        drawn: [k], how many of its places each client reads, held or not, or with weight zero: the first ones.
    """

    weight: Tensor
    places: Tensor | None
    read: NDArray[np.int64]
    drawn: NDArray[np.int64]


@dataclass(frozen=True)
class Bucket:
    """Clients of similar size, padded to the largest.

    Attributes:
        rows: [k], their rows in the block's buffers.
        x: [k, n, q], designs; padding and erased samples are zero.
        y: [k, n], targets.
        weight: [k, n], 1/n_i for the samples client i holds, 0 for padding and erased samples.
    """

    rows: Tensor
    x: Tensor
    y: Tensor
    weight: Tensor

    @cached_property
    def row_numbers(self) -> NDArray[np.int64]:
        """[k], the rows as numpy has them."""
        numbers: NDArray[np.int64] = self.rows.cpu().numpy()
        return numbers

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """[k, n], which places hold a sample: neither padding nor erased."""
        places: NDArray[np.bool_] = (self.weight > 0).cpu().numpy()
        return places

    @cached_property
    def reduced(self) -> Tensor:
        """[k, n, p], the reduced designs (`envelope.reduced_design`)."""
        return reduced_design(self.x)

    def batches(
        self, masks: Sequence[NDArray[np.bool_]], sizes: Sequence[float], multiple: int | None = None
    ) -> list[Batch]:
        """Return the batch of each of the E local steps of a round.

        What a batch is made of depends on what is drawn alone, not on whether it is held: a client that has erased
        samples computes with zeros in their places, so that no other client's sums are added up in another order.

        Args:
            masks: of each client, [E, n_i], which of its samples are drawn in each step.
            sizes: of each client, B_i, the expected number of samples in a batch.
            multiple: gather all batches, and fill those of a client with weights of zero to as many samples as its
                largest of the round has, rounded up to a multiple of this; None: gather as many as are drawn, if few.
        """
        clients, samples = self.weight.shape
        drawn = np.zeros((len(masks[0]), clients, samples), dtype=np.bool_)
        for k, mask in enumerate(masks):
            drawn[:, k, : mask.shape[1]] = mask
        counts, read = drawn.sum(axis=2), (drawn & self.holds).sum(axis=2)
        share = np.array([1.0 / size if size else 0.0 for size in sizes])[:, None] * self.holds
        if multiple is not None:
            filled = multiple * np.maximum(1, -(-counts.max(axis=0) // multiple))
            return [self._gathered(share, *of_step, filled) for of_step in zip(drawn, counts, read, strict=True)]
        return [
            self._gathered(share, *of_step)
            if max(1, int(of_step[1].max())) <= _GATHERED * samples
            else Batch(torch.from_numpy(share * of_step[0]).to(self.weight), None, of_step[2], of_step[1])
            for of_step in zip(drawn, counts, read, strict=True)
        ]

    def _gathered(
        self,
        share: NDArray[np.float64],
        drawn: NDArray[np.bool_],
        count: NDArray[np.int64],
        read: NDArray[np.int64],
        filled: NDArray[np.int64] | None = None,
    ) -> Batch:
        """Return a batch of samples that are gathered, filled with weights of zero to as many as `filled` [k] says.

        The samples are those drawn [k, n], as many as `count` [k] says, with their shares [k, n] as weights.
        """
        taken = count if filled is None else filled
        (clients, samples), most = drawn.shape, max(1, int(taken.max()))
        sample = np.flatnonzero(drawn)
        used = np.arange(most) < count[:, None]
        places = np.repeat(np.arange(clients)[:, None] * samples, most, axis=1)
        places[used] = sample
        chosen = np.zeros((clients, most))
        chosen[used] = share.ravel()[sample]
        at = torch.from_numpy(places).to(self.x.device)
        return Batch(torch.from_numpy(chosen).to(self.weight), at, read, taken)

    def samples(self, k: Part, places: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return designs [k, B, q] and targets [k, B] of some clients: of all samples, or of those at these places.

        Args:
            k: which clients.
            places: [k, B], as in `Batch`, of these clients alone.
        """
        if places is None:
            return self.x[k], self.y[k]
        shape, flat = places.shape, places.flatten()
        return (
            self.x.flatten(0, 1).index_select(0, flat).view(*shape, -1),
            self.y.flatten().index_select(0, flat).view(shape),
        )

    @property
    def parts(self) -> list[slice]:
        """Clients that are computed at once with all of their samples."""
        return self.parts_for(self.x.shape[1])

    def parts_for(self, samples: int, wanted: int | None = None, times: int = 1) -> list[slice]:
        """Return the clients that are computed at once: as many as keep their samples in cache; on a GPU all of them.

        Args:
            samples: how many of its samples each client uses at a time.
            wanted: as many as the model wants together instead; None where it leaves that open.
            times: how many times as many as that.
        """
        clients, _, inputs = self.x.shape
        gathered = CACHED_GATHERED // self.x.element_size()
        cached = _CACHED if samples == self.x.shape[1] else gathered
        together = max(1, cached // max(1, samples * inputs)) if self.x.device.type == "cpu" else clients
        return split(clients, wanted or times * together)

    def participating_parts(
        self, participating: NDArray[np.bool_] | None, samples: int, wanted: int | None = None, times: int = 1
    ) -> list[Part]:
        """Return the parts, without the clients that take no step.

        Args:
            participating: [b], which clients of the block take a step; None: all of them.
            samples: how many of its samples each client uses at a time.
            wanted: as in `parts_for`.
            times: as in `parts_for`.
        """
        if participating is None:
            return list(self.parts_for(samples, wanted, times))
        acts = self.acting(participating)
        parts: list[Part] = []
        for k in self.parts_for(samples, wanted, times):
            if acts[k].all():
                parts.append(k)
            elif acts[k].any():
                parts.append(torch.from_numpy(np.flatnonzero(acts[k]) + k.start).to(self.rows.device))
        return parts

    def acting(self, participating: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return which of the clients take a step [k], by that of the block [b]; None: all of them."""
        return np.ones(len(self.rows), dtype=np.bool_) if participating is None else participating[self.row_numbers]

    def without(self, erased: Mapping[int, Tensor]) -> Bucket:
        """Return the bucket without some samples; itself if it holds none of them.

        Args:
            erased: for rows of the block, the places of the erased samples.
        """
        touched = [(k, erased[row]) for k, row in enumerate(self.rows.tolist()) if row in erased]
        if not touched:
            return self
        x, y, weight = self.x.clone(), self.y.clone(), self.weight.clone()
        for k, places in touched:
            x[k, places], y[k, places], weight[k, places] = 0.0, 0, 0.0
            retained = weight[k] > 0
            weight[k, retained] = 1.0 / max(int(retained.sum()), 1)
        return replace(self, x=x, y=y, weight=weight)

    def only(self, row_of: Mapping[int, int], dtype: torch.dtype) -> Bucket | None:
        """Return a bucket of some of the clients, in another precision; None if it has none of them.

        Args:
            row_of: for each row of the block that stays, its row in the new block.
            dtype: the precision.
        """
        inside = [k for k, row in enumerate(self.rows.tolist()) if row in row_of]
        if not inside:
            return None
        return Bucket(
            rows=torch.tensor([row_of[int(self.rows[k])] for k in inside], device=self.rows.device),
            x=self.x[inside].to(dtype),
            y=self.y[inside],
            weight=self.weight[inside].to(dtype),
        )


def make_buckets(
    design: Tensor,
    targets: Tensor,
    shards: Sequence[NDArray[np.int64]],
    *,
    node_by_node: bool,
    multiple: int = 1,
    least: int = 1,
) -> tuple[Bucket, ...]:
    """Put clients of similar size together.

    Args:
        design: [n, q], of all clients together.
        targets: [n].
        shards: one array of row numbers for each client.
        node_by_node: give every client a bucket of its own, without padding but for `multiple` and `least`.
        multiple: pad to a multiple of so many samples.
        least: pad to so many samples.
    """
    sizes = np.array([len(shard) for shard in shards], dtype=np.int64)
    groups = [[row] for row in range(len(sizes))] if node_by_node else _groups(sizes)
    return tuple(
        _bucket(design, targets, group, [np.asarray(shards[row]) for row in group], multiple, least) for group in groups
    )


def _groups(sizes: NDArray[np.int64]) -> list[list[int]]:
    """Group rows of similar size, each group in increasing order of row."""
    groups: list[list[int]] = []
    largest = -1
    for row in np.argsort(-sizes, kind="stable").tolist():
        if not groups or sizes[row] < _FULLNESS * largest:
            groups.append([])
            largest = int(sizes[row])
        groups[-1].append(row)
    return [sorted(group) for group in groups]


def _bucket(
    design: Tensor, targets: Tensor, group: list[int], rows: list[NDArray[np.int64]], multiple: int, least: int
) -> Bucket:
    longest = multiple * -(-max(least, *(len(own) for own in rows)) // multiple)
    x = design.new_zeros(len(group), longest, design.shape[1])
    y = targets.new_zeros(len(group), longest)
    weight = design.new_zeros(len(group), longest)
    for k, own in enumerate(rows):
        where = torch.from_numpy(own).to(design.device)
        x[k, : len(own)], y[k, : len(own)] = design[where], targets[where]
        weight[k, : len(own)] = 1.0 / max(len(own), 1)
    return Bucket(torch.tensor(group, device=design.device), x, y, weight)
