"""Neighbour-weighted sums of messages, and the count of the messages that they take."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.clients.training.parallel import each, split, threads
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class Weights:
    """The weights of some sums of messages, and their products with messages.

    Args:
        A: [k, s], one row for each sum, one column for each message.
    """

    #: The share of non-zero entries from which on a dense product takes less time than a sparse one.
    _DENSE = 0.1

    def __init__(self, A: csr_array) -> None:
        self.sparse = canonical(A)
        self._like: tuple[torch.dtype, torch.device] | None = None
        self._made: list[tuple[slice, Tensor]] = []

    def multiply(self, messages: Tensor, out: Tensor, more: bool = False) -> Tensor:
        """Compute A @ messages into `out`, or on top of what is there: [s, d] → [k, d], in an order of its own."""
        sums, sources = self.sparse.shape
        if self._like != (messages.dtype, messages.device):
            is_dense = messages.device.type != "cpu" or self.sparse.nnz > self._DENSE * sums * sources
            self._made = [(slice(None), self._dense(messages))] if is_dense else self._rows(messages)
            self._like = messages.dtype, messages.device
        (_, first), *more_rows = self._made
        if not first.is_sparse_csr:
            return _dense_product(first, messages, out, more)

        def multiply(part: tuple[slice, Tensor]) -> None:
            into = out[part[0]]
            torch.addmm(into, part[1], messages, beta=int(more), out=into)

        each(multiply, self._made, alone=not more_rows or not is_long(out))
        return out

    def _dense(self, like: Tensor) -> Tensor:
        return torch.from_numpy(self.sparse.toarray()).to(like)

    def _rows(self, like: Tensor) -> list[tuple[slice, Tensor]]:
        """Return A as sparse tensors of the type of `like`, some rows for each thread."""
        rows = split(self.sparse.shape[0], max(1, -(-self.sparse.shape[0] // threads())))
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Sparse CSR tensor support is in beta|Sparse invariant checks", UserWarning
            )
            return [(part, _sparse(self.sparse[part], like.dtype)) for part in rows]


def _sparse(A: csr_array, dtype: torch.dtype) -> Tensor:
    # Without torch's own checks: those of torch 2.11 refuse a matrix without entries.
    bounds, columns = (torch.from_numpy(at.astype(np.int64)) for at in (A.indptr, A.indices))
    return torch.sparse_csr_tensor(
        bounds, columns, torch.from_numpy(A.data), size=A.shape, dtype=dtype, check_invariants=False
    )


class AlternatingBuffers:
    """Buffers for results that take turns, so that a result may be sent on while the next is being computed."""

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []

    def clear(self) -> None:
        """Give the memory of the buffers back, as far as no result in them is in use."""
        self._buffers = []

    def next(self, messages: Tensor) -> Tensor:
        """Return a buffer like the messages that is neither where they are nor the one given out last."""
        alike = [buffer for buffer in self._buffers if _alike(buffer, messages)]
        free = [buffer for buffer in alike[:-1] if _address(buffer) != _address(messages)]
        chosen = free[0] if free else torch.empty_like(messages, memory_format=torch.contiguous_format)
        self._buffers = [buffer for buffer in alike if buffer is not chosen] + [chosen]
        return chosen


def _alike(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and first.dtype == second.dtype and first.device == second.device


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class RecentCache(Generic[T]):
    """Keeps what was made from the latest few matrices, so that it need not be made in every round.

    The matrices are told apart by identity. They are kept along, so that none of another takes on its identity.

    Args:
        make: makes it from a matrix.
    """

    _FEW = 8

    def __init__(self, make: Callable[[csr_array], T]) -> None:
        self._make = make
        self._made: dict[int, tuple[csr_array, T]] = {}

    def __call__(self, W: csr_array) -> T:
        """Return what is made from W."""
        made = self._made.pop(id(W), None) or (W, self._make(W))
        self._made[id(W)] = made
        if len(self._made) > self._FEW:
            del self._made[next(iter(self._made))]
        return made[1]


class MessageCounter:
    """Counts the messages that travel over each edge of a network.

    Args:
        nodes: N.
    """

    _PENDING = 8

    def __init__(self, nodes: int) -> None:
        self._nothing = csr_array((nodes, nodes), dtype=np.int64)
        self._total = self._nothing
        self._pending: dict[int, tuple[csr_array, int]] = {}

    def count(self, pattern: csr_array) -> None:
        """Count a message over each edge of the pattern, as `edges` gives it."""
        times = self._pending.get(id(pattern), (pattern, 0))[1]
        self._pending[id(pattern)] = (pattern, times + 1)
        if len(self._pending) > self._PENDING:
            self._add_pending()

    def take(self) -> csr_array:
        """Return the counts [N, N], and begin again at zero."""
        self._add_pending()
        total, self._total = self._total, self._nothing
        return total

    def _add_pending(self) -> None:
        for pattern, times in self._pending.values():
            self._total = self._total + times * pattern
        self._pending = {}


def canonical(W: csr_array) -> csr_array:
    """Return W in double precision, with the entries of each row in increasing order of column."""
    W = W.astype(np.float64, copy=False)
    if not W.has_canonical_format:
        W = W.copy()
        W.sum_duplicates()
    return W


def edges(W: csr_array, nodes: NDArray[np.int64] | None = None) -> csr_array:
    """Return a 1 for every message that a round with these weights brings to the nodes [b], or to all: int64 [N, N]."""
    W = canonical(W)
    heard = W if nodes is None else W[nodes]
    to = np.repeat(np.arange(W.shape[0]) if nodes is None else nodes, np.diff(heard.indptr))
    travels = to != heard.indices
    ones = np.ones(int(travels.sum()), dtype=np.int64)
    return csr_array((ones, (to[travels], heard.indices[travels])), shape=W.shape)


def _dense_product(A: Tensor, messages: Tensor, out: Tensor, more: bool) -> Tensor:
    """Compute A @ messages into `out`, or on top of what is there, columns shared among threads."""

    def multiply(part: slice) -> None:
        into = out[:, part]
        torch.addmm(into, A, messages[:, part], beta=int(more), out=into)

    each(multiply, shares_of(out.shape[1], alone=not is_long(out)))
    return out


#: Bytes of a message from which on threads of this process share the work, on a CPU.
_LONG = 1 << 18


def is_long(messages: Tensor) -> bool:
    """Return whether threads share the work on messages [·, d] of this length."""
    return messages.device.type == "cpu" and messages.shape[1] * messages.element_size() >= _LONG


def shares_of(length: int, alone: bool) -> list[slice]:
    """Return the share of each thread in some sums, or all of them where one thread works alone."""
    return split(length, max(1, length if alone else -(-length // threads())))
