"""Sums of messages in the order of the nodes, one message at a time, so that any transport repeats them bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.clients.training.parallel import each
from rewindnet.late import torch
from rewindnet.simulator.transports.sums import is_long, shares_of

if TYPE_CHECKING:
    from torch import Tensor

#: Bytes of a message below which the k-th messages of many sums are added at once, on a CPU.
_SHORT = 1 << 16

#: Bytes of the sums that are taken at once: they and what is added to them stay in cache.
_CACHED = 1 << 18


def in_node_order(A: csr_array, sources: Sequence[Tensor], out: Tensor, rows: Sequence[int] | None = None) -> Tensor:
    """Compute A @ sources into the rows of `out`: each sum in the order of A's entries, one at a time.

    Args:
        A: [k, s], the weights.
        sources: s messages [d].
        out: [k, d].
        rows: which sums to take; all by default.

    Returns:
        `out`.
    """
    bounds, columns, weights = A.indptr.tolist(), A.indices.tolist(), A.data.tolist()
    into, rows = out.unbind(), range(len(out)) if rows is None else rows

    def add_up(part: Sequence[int]) -> None:
        for row in part:
            total = into[row]
            total.zero_()
            for at in range(bounds[row], bounds[row + 1]):
                total.add_(sources[columns[at]], alpha=weights[at])

    # One part for each thread: they hinder each other between the additions, so these must be worth it.
    each(add_up, [rows[k] for k in shares_of(len(rows), alone=not is_long(out))])
    return out


class OrderedSums:
    """Some sums of messages, each in the order of its entries: the bits of `in_node_order`, in less time.

    Where messages are short, the k-th messages of many sums are added at once. No number is then added in another
    order, and each is multiplied and added as before, rounded once or twice: whether this machine's kernels agree in
    that is tried out, for each length of a message, and they are not used where they do not.

    Args:
        A: [k, s], the weights, entries of each row in the order of the sum.
        rows: which sums to take; all by default.
    """

    def __init__(self, A: csr_array, rows: Sequence[int] | None = None) -> None:
        self._A = A
        self._rows: NDArray[np.int64] = np.arange(A.shape[0]) if rows is None else np.array(rows, dtype=np.int64)
        self._made: tuple[torch.dtype, int, list[_Chunk]] | None = None

    def add_up(self, messages: Tensor, out: Tensor) -> Tensor:
        """Compute the sums into their rows of `out`: [s, d] → [k, d]; other rows stay."""
        size = messages.shape[1] * messages.element_size()
        if messages.device.type != "cpu" or size > _SHORT or not _same_bits(messages.dtype, messages.shape[1]):
            return in_node_order(self._A, messages.unbind(), out, self._rows.tolist())
        together = max(1, _CACHED // max(1, size))
        if self._made is None or self._made[:2] != (messages.dtype, together):
            self._made = messages.dtype, together, _chunks(self._A, self._rows, together, messages.dtype)
        totals = torch.empty(together, messages.shape[1], dtype=messages.dtype)
        added = torch.empty_like(totals)
        for chunk in self._made[2]:
            chunk.add_up(messages, totals, added, out)
        return out


class _Chunk:
    """Sums that are taken at once, the longest first.

    Args:
        rows: [c], their rows.
        slots: for k = 0, 1, …, the sources [c_k] and weights [c_k, 1] of the k-th terms of the first c_k sums.
    """

    def __init__(self, rows: Tensor, slots: list[tuple[Tensor, Tensor]]) -> None:
        self._rows, self._slots = rows, slots

    def add_up(self, messages: Tensor, totals: Tensor, added: Tensor, out: Tensor) -> None:
        """Compute the sums of messages [s, d] into their rows of `out` [k, d], with buffers [c, d] for both terms."""
        totals = totals[: len(self._rows)].zero_()
        for sources, weights in self._slots:
            total, term = totals[: len(sources)], added[: len(sources)]
            torch.index_select(messages, 0, sources, out=term)
            torch.addcmul(total, term, weights, out=total)
        out.index_copy_(0, self._rows, totals)


def _chunks(A: csr_array, rows: NDArray[np.int64], together: int, dtype: torch.dtype) -> list[_Chunk]:
    """Return the sums in chunks, those of similar length together so that few of a chunk end before the others."""
    lengths = np.diff(A.indptr)
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    chunks = []
    for first in range(0, len(rows), together):
        part = rows[first : first + together]
        slots = []
        for k in range(int(lengths[part[0]])):
            terms = A.indptr[part[: np.count_nonzero(lengths[part] > k)]] + k
            weights = torch.from_numpy(A.data[terms]).to(dtype).unsqueeze(1)
            slots.append((torch.from_numpy(A.indices[terms].astype(np.int64)), weights))
        chunks.append(_Chunk(torch.from_numpy(part), slots))
    return chunks


@lru_cache(maxsize=64)
def _same_bits(dtype: torch.dtype, length: int) -> bool:
    """Return whether adding many messages of this length at once gives the bits of adding them one by one, here.

    A kernel rounds each number in one of few ways, by its place in the row alone; random numbers tell these apart.
    """
    generator = torch.Generator().manual_seed(0)
    messages = torch.randn(7, length, dtype=dtype, generator=generator)
    data = torch.rand(7 * 7, dtype=torch.float64, generator=generator).numpy()
    A = csr_array((data, np.tile(np.arange(7), 7), np.arange(0, 50, 7)), shape=(7, 7))
    expected = in_node_order(A, messages.unbind(), torch.empty_like(messages))
    for together in (7, 4, 1):
        given, totals = torch.empty_like(messages), torch.empty(together, length, dtype=dtype)
        for chunk in _chunks(A, np.arange(7), together, dtype):
            chunk.add_up(messages, totals, torch.empty_like(totals), given)
        if not torch.equal(given, expected):
            return False
    return True
