"""The wire between the ranks of an MPI job: each owns a block of nodes, and only rows that others need travel."""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.mpi.division import Route, check_ranks, divide_nodes, make_route
from rewindnet.simulator.transports.ordered import OrderedSums
from rewindnet.simulator.transports.sums import (
    AlternatingBuffers,
    MessageCounter,
    RecentCache,
    Weights,
    edges,
)
from rewindnet.simulator.transports.wire import Precision, Wire

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")


class Ranks(Wire):
    """A network spread over the ranks of an MPI job; the calls of all of them are collective.

    Args:
        W: the matrix [N, N] by which the nodes are divided among the ranks; any other may be used for a round.
        precision: `exact` sums in node order, one neighbour at a time, and so gives, bit for bit, what it gives in
            one process; `fast` takes products of matrices.
        comm: the ranks; all of the job by default.
        gpu_direct: hand memory of a GPU to MPI, which must be built for it; messages go through the host otherwise.

    Attributes:
        rank_on_machine: the number of this rank among those on its machine.
        ranks_on_machine: how many there are on its machine.

    Raises:
        TransportError: if there are more ranks than nodes, or no MPI library.
    """

    def __init__(
        self, W: csr_array, precision: Precision, comm: "MPI.Comm | None" = None, gpu_direct: bool = False
    ) -> None:
        self._mpi = _mpi()
        self._comm = self._mpi.COMM_WORLD if comm is None else comm
        nodes, rank = W.shape[0], self._comm.Get_rank()
        check_ranks(nodes, self._comm.Get_size())
        self.root = rank == 0
        self.rank_on_machine, self.ranks_on_machine = self._place_on_machine()
        owner = self.agree(divide_nodes(W, self._comm.Get_size()) if self.root else np.empty(0, dtype=np.int64))
        own = np.flatnonzero(owner == rank)
        self.nodes = tuple(own.tolist())
        self._by_rank, self._sizes = np.argsort(owner, kind="stable"), np.bincount(owner)
        self._precision, self._gpu_direct = precision, gpu_direct
        self._plans = RecentCache(lambda W: _RoundPlan(make_route(W, owner, rank), edges(W, own)))
        self._buffers, self._messages = AlternatingBuffers(), MessageCounter(nodes)
        self._leaving, self._arriving = torch.empty(0, 0), torch.empty(0, 0)
        self._row_types: dict[int, MPI.Datatype] = {}
        self._sent = 0

    def mix(self, messages: Tensor, W: csr_array, counted: bool = True) -> Tensor:
        """Return Σ_j W_ij·message_j: sums within the block are taken while the messages of others travel."""
        plan, out = self._plans(W), self._buffers.next(messages)
        route = plan.route
        travelling = self._exchange(route, messages)
        if counted:
            self._messages.count(plan.edges)
        if self._precision == "fast":
            plan.own.multiply(messages, out)
            halo = self._arrived(travelling, messages, route.halo)
            return plan.others.multiply(halo, out, more=True) if route.halo else out
        plan.inner.add_up(messages, out)
        halo = self._arrived(travelling, messages, route.halo)
        return plan.outer.add_up(torch.cat((messages, halo)), out) if route.outer else out

    def begin(self) -> None:
        """Give the memory of old sums back."""
        self._buffers.clear()

    def gather(self, theta: Tensor) -> Tensor:
        """Return θ [N, ·] at the root, in memory of its own; on the host unless MPI handles memory of the GPU."""
        theta = self._for_mpi(theta)
        row = self._row(theta)
        gathered = theta.new_empty(len(self._by_rank) if self.root else 0, theta.shape[1])
        self._comm.Gatherv([theta, len(theta), row], [gathered, self._sizes, row] if self.root else None)
        return gathered[np.argsort(self._by_rank)] if self.root else gathered

    def scatter(self, theta: Tensor | None, like: Tensor) -> Tensor:
        """Return the block's rows, in memory of its own."""
        if self.root and theta is None:
            raise TransportError("the root has no parameters to scatter; it must give those of all nodes")
        width = self.agree(theta.shape[1] if self.root and theta is not None else None) or like.shape[1]
        own = self._for_mpi(like.new_empty(len(like), width))
        row, gathered = self._row(own), None
        if self.root and theta is not None:
            gathered = [self._for_mpi(theta.to(own)[self._by_rank]), self._sizes, row]
        self._comm.Scatterv(gathered, [own, len(own), row])
        return own.to(like.device)

    def agree(self, value: T) -> T:
        """Return the root's value."""
        result: T = self._comm.bcast(value)
        return result

    def collect(self, value: T) -> list[T]:
        """Return the values of all ranks, in order of rank."""
        return self._comm.allgather(value)

    def carried(self) -> csr_array:
        """Return the messages of all ranks' sums since the last call."""
        first, *others = self.collect(self._messages.take())
        return sum(others, start=first)

    def volume(self) -> int:
        """Return the bytes that this rank has sent in rounds since the beginning."""
        return self._sent

    def _place_on_machine(self) -> tuple[int, int]:
        machine = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        number, count = machine.Get_rank(), machine.Get_size()
        machine.Free()
        return number, count

    def _exchange(self, route: Route, messages: Tensor) -> "list[MPI.Request]":
        """Begin to send the rows that others need, and to receive theirs."""
        row = self._row(messages)
        self._leaving = self._buffer(self._leaving, len(route.packed), messages)
        self._arriving = self._buffer(self._arriving, route.halo, messages)
        leaving, packed = self._leaving[: len(route.packed)], torch.from_numpy(route.packed).to(messages.device)
        if leaving.device == messages.device:
            torch.index_select(messages, 0, packed, out=leaving)
        else:
            leaving.copy_(messages[packed])
        # Also a GPU's last round with what is in the other buffer is over then.
        _finish(leaving)
        requests = [
            self._comm.Irecv([self._arriving[part], part.stop - part.start, row], source)
            for source, part in route.receives
        ]
        for target, part in route.sends:
            requests.append(self._comm.Isend([leaving[part], part.stop - part.start, row], target))
            self._sent += leaving[part].nbytes
        return requests

    def _arrived(self, requests: "list[MPI.Request]", messages: Tensor, halo: int) -> Tensor:
        """Return the halo [h, d], once all has come in and gone out."""
        self._mpi.Request.Waitall(requests)
        return self._arriving[:halo].to(messages.device)

    def _buffer(self, buffer: Tensor, rows: int, messages: Tensor) -> Tensor:
        """Return the buffer, or a new one if it does not have that many rows like the messages."""
        device = messages.device if self._gpu_direct else torch.device("cpu")
        fits = len(buffer) >= rows and buffer.shape[1] == messages.shape[1] and buffer.dtype == messages.dtype
        if fits and buffer.device == device:
            return buffer
        pinned = messages.is_cuda and device.type == "cpu"
        return torch.empty(rows, messages.shape[1], dtype=messages.dtype, device=device, pin_memory=pinned)

    def _for_mpi(self, theta: Tensor) -> Tensor:
        """Return θ where MPI may read and write it."""
        return _finish((theta if self._gpu_direct else theta.cpu()).contiguous())

    def _row(self, like: Tensor) -> "MPI.Datatype":
        """Return the MPI type of one row: whole buffers may have more bytes than MPI has numbers for."""
        size = like.shape[1] * like.element_size()
        if size not in self._row_types:
            self._row_types[size] = self._mpi.BYTE.Create_contiguous(size).Commit()
        return self._row_types[size]


class _RoundPlan:
    """What a rank has to do in a round with one matrix."""

    def __init__(self, route: Route, edges: csr_array) -> None:
        block = route.weights.shape[0]
        self.route, self.edges = route, edges
        self.own, self.others = Weights(route.weights[:, :block]), Weights(route.weights[:, block:])
        self.inner, self.outer = (OrderedSums(route.weights, rows) for rows in (route.inner, route.outer))


def _finish(buffer: Tensor) -> Tensor:
    """Return the buffer, once a GPU has written it: MPI does not wait for that."""
    if buffer.is_cuda:
        torch.cuda.current_stream(buffer.device).synchronize()
    return buffer


def _mpi() -> Any:
    """Return mpi4py's MPI, which begins to look for an MPI library when it is imported."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise TransportError(
            "there is no MPI library; install an MPI, for example with: pip install 'rewindnet[mpi]'"
        ) from error
    return MPI
