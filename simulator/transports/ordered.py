"""Sums of messages in the order of the nodes, one message at a time, so that any transport repeats them bit for bit."""

from __future__ import annotations

from abc import ABC, abstractmethod
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

#: Bytes of a message up to which many sums are one product, on a CPU; it saves nothing where messages are longer.
_SHORT = 1 << 22

#: Bytes of the sums of one product: they stay in cache.
_CACHED = 1 << 20


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

    Many sums are one product of a sparse matrix, by a kernel of torch that goes through the entries in their order. It
    adds no number in another order, and whether it also rounds as often as `in_node_order` is tried out on this machine
    for each length of a message: a kernel that does not is not used.

    Args:
        A: [k, s], the weights, entries of each row in the order of the sum.
        rows: which sums to take; all by default.
    """

    def __init__(self, A: csr_array, rows: Sequence[int] | None = None) -> None:
        self._A = A
        self._rows = np.arange(A.shape[0]) if rows is None else np.unique(np.array(rows, dtype=np.int64))
        # Kernels leave out a term of weight 0, which matters to the sign of a zero and to numbers that are not finite.
        self._takes_kernels = bool(A.data.all())
        self._made: tuple[torch.dtype, torch.Size, list[_Product]] | None = None

    def add_up(self, messages: Tensor, out: Tensor) -> Tensor:
        """Compute the sums into their rows of `out`: [s, d] → [k, d]; other rows stay."""
        # Kernels may round otherwise where the numbers of a message do not lie next to each other.
        plain = messages.device.type == "cpu" and messages.stride(1) == 1 and self._takes_kernels
        kernel = _kernel(messages.dtype, messages.shape[1]) if plain and _row_bytes(messages) <= _SHORT else None
        if kernel is None:
            return in_node_order(self._A, messages.unbind(), out, self._rows.tolist())
        if self._made is None or self._made[:2] != (messages.dtype, messages.shape):
            self._made = messages.dtype, messages.shape, _products(kernel, self._A, self._rows, messages)
        each(lambda product: product.compute(messages, out), self._made[2], alone=not is_long(out))
        return out


class _Product(ABC):
    """The sums of some rows of A as one product.

    Args:
        A: [k, s], the weights.
        rows: [c], in increasing order.
        like: [m, d], as the messages are; only these m of the s are needed.
    """

    def __init__(self, A: csr_array, rows: NDArray[np.int64], like: Tensor) -> None:
        first, count = int(rows[0]), len(rows)
        self._rows = slice(first, first + count) if rows[-1] == first + count - 1 else torch.from_numpy(rows)
        part = A[rows]
        self._size = count, len(like)
        self._starts = torch.from_numpy(part.indptr.astype(np.int64))
        self._columns = torch.from_numpy(part.indices.astype(np.int64))
        self._weights = torch.from_numpy(part.data).to(like.dtype)

    @abstractmethod
    def compute(self, messages: Tensor, out: Tensor) -> None:
        """Compute the sums of messages [m, d] into their rows of `out` [k, d]."""


class _Sparse(_Product):
    """A sparse matrix in coordinates times the messages: each entry adds a multiple of a message to its sum."""

    def __init__(self, A: csr_array, rows: NDArray[np.int64], like: Tensor) -> None:
        super().__init__(A, rows, like)
        sums = torch.repeat_interleave(torch.arange(len(rows)), self._starts.diff())
        self._matrix = torch.sparse_coo_tensor(
            torch.stack([sums, self._columns]), self._weights, self._size, is_coalesced=True, check_invariants=False
        )

    def compute(self, messages: Tensor, out: Tensor) -> None:
        if isinstance(self._rows, slice):
            into = out[self._rows].zero_()
            torch.addmm(into, self._matrix, messages, out=into)
        else:
            out.index_copy_(0, self._rows, torch.mm(self._matrix, messages))


class _Bags(_Product):
    """Weighted sums of bags of messages; in single precision its entries are fused with the additions."""

    def compute(self, messages: Tensor, out: Tensor) -> None:
        bags = self._columns, messages, self._starts
        out[self._rows] = torch.nn.functional.embedding_bag(
            *bags, mode="sum", per_sample_weights=self._weights, include_last_offset=True
        )


def _products(kernel: type[_Product], A: csr_array, rows: NDArray[np.int64], like: Tensor) -> list[_Product]:
    """Return the sums as products of as many rows as stay in cache, for messages like these [m, d]."""
    together = max(1, _CACHED // _row_bytes(like))
    parts = (rows[first : first + together] for first in range(0, len(rows), together))
    return [kernel(A, part, like) for part in parts]


def _row_bytes(messages: Tensor) -> int:
    return max(1, messages.shape[1] * messages.element_size())


@lru_cache(maxsize=64)
def _kernel(dtype: torch.dtype, length: int) -> type[_Product] | None:
    """Return the fastest kernel that has the bits of adding messages of this length one by one, here.

    A kernel rounds each number in one of few ways, by its place in memory alone; random numbers tell these apart.
    """
    generator = torch.Generator().manual_seed(0)
    messages = torch.randn(17, length, dtype=dtype, generator=generator)
    rng = np.random.default_rng(0)
    A = csr_array(np.tril(rng.uniform(0.1, 1, (17, 17))))
    expected = in_node_order(A, messages.unbind(), torch.empty_like(messages))
    # Bags round twice in double precision.
    for kernel in (_Bags, _Sparse) if dtype == torch.float32 else (_Sparse,):
        given = torch.empty_like(messages)
        for rows in (np.arange(9), np.arange(10, 17), np.array([9])):
            kernel(A, rows, messages).compute(messages, given)
        if torch.equal(given, expected):
            return kernel
    return None
