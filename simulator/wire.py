"""The wire: how messages become neighbour-weighted sums. A transport knows no algorithm."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import torch
from scipy.sparse import csr_array
from torch import Tensor

Precision = Literal["fast", "exact"]


class Wire(Protocol):
    """Carries the messages of a block to its neighbours, and brings theirs."""

    def combine(self, messages: Tensor, W: csr_array) -> Tensor:
        """Σ_j W_ij·message_j for every node i of the block: [b, d] → [b, d], valid until the next but one call."""


class InProcess:
    """All nodes in this process: a round is W @ messages.

    Args:
        precision: `exact` sums in node order, one neighbour at a time, so that any transport can repeat it bit for
            bit; `fast` takes one dense product where the matrix is dense or small.
    """

    #: Share of non-zero entries above which, and number of nodes below which, a dense product is the faster.
    _DENSE, _SMALL = 0.1, 32

    def __init__(self, precision: Precision = "fast") -> None:
        self._precision = precision
        self._buffers: tuple[Tensor, ...] = ()
        self._dense: tuple[csr_array, Tensor] | None = None

    def combine(self, messages: Tensor, W: csr_array) -> Tensor:
        """Σ_j W_ij·message_j, into one of two buffers that take turns."""
        out = self._buffer(messages)
        if self._precision == "fast" and self._is_dense(W, messages):
            return torch.mm(self._as_tensor(W, messages), messages, out=out)
        return in_node_order(W, messages, out)

    def _is_dense(self, W: csr_array, messages: Tensor) -> bool:
        return W.shape[0] <= self._SMALL or W.nnz > self._DENSE * W.shape[0] ** 2 or messages.device.type != "cpu"

    def _as_tensor(self, W: csr_array, like: Tensor) -> Tensor:
        if self._dense is None or self._dense[0] is not W or self._dense[1].dtype != like.dtype:
            self._dense = (W, torch.from_numpy(W.toarray()).to(like))
        return self._dense[1]

    def _buffer(self, messages: Tensor) -> Tensor:
        """The buffer that the messages do not live in."""
        if not self._buffers or self._buffers[0].shape != messages.shape or self._buffers[0].dtype != messages.dtype:
            self._buffers = (torch.empty_like(messages), torch.empty_like(messages))
        first, second = self._buffers
        return second if messages.data_ptr() == first.data_ptr() else first


def in_node_order(W: csr_array, messages: Tensor, out: Tensor) -> Tensor:
    """W @ messages into `out`, each sum taken in increasing order of neighbour, one neighbour at a time."""
    bounds, neighbours, weights = W.indptr.tolist(), W.indices.tolist(), W.data.tolist()
    for node, into in enumerate(out):
        into.zero_()
        for at in range(bounds[node], bounds[node + 1]):
            into.add_(messages[neighbours[at]], alpha=weights[at])
    return out


#: The transports. Adding one is a file here and a line in this dictionary.
TRANSPORTS: Mapping[str, Callable[[Precision], Wire]] = {"in-process": InProcess}
