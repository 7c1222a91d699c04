"""The wire between the ranks of an MPI job: each owns a block of nodes, and only rows that others need travel."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.wire import (
    Lately,
    Precision,
    Tally,
    Turns,
    Weights,
    canonical,
    edges,
    in_node_order,
    product,
)

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")

#: Which part of a buffer goes to, or comes from, which rank.
Parts = tuple[tuple[int, slice], ...]


@dataclass(frozen=True)
class Route:
    """What a rank sends, receives and sums in a round.

    Attributes:
        packed: the rows of the block that are sent, those for one rank after those for another.
        sends: which of them go to whom.
        receives: which rows of the halo, the messages that come from other ranks, come from whom.
        weights: [b, b + h], of the block's own messages and then of the halo's; entries in increasing order of node.
        inner: the rows of the block that need nothing from the halo.
        outer: the others.
    """

    packed: NDArray[np.int64]
    sends: Parts
    receives: Parts
    weights: csr_array
    inner: tuple[int, ...]
    outer: tuple[int, ...]

    @property
    def halo(self) -> int:
        """h, how many messages come from other ranks."""
        return int(self.weights.shape[1] - self.weights.shape[0])


class Ranks:
    """A network spread over the ranks of an MPI job; the calls of all of them are collective.

    Args:
        W: the matrix [N, N] by which the nodes are divided among the ranks; any other may be used for a round.
        precision: `exact` sums in node order, one neighbour at a time, and so gives, bit for bit, what it gives in
            one process; `fast` takes dense products where these are the faster.
        comm: the ranks; all of the job by default.
        gpu_direct: hand memory of a GPU to MPI, which must be built for it; messages go through the host otherwise.

    Attributes:
        on_this_machine: which of the ranks on its machine this one is, and how many they are.

    Raises:
        TransportError: if there are more ranks than nodes, or no MPI library.
    """

    def __init__(
        self, W: csr_array, precision: Precision, comm: "MPI.Comm | None" = None, gpu_direct: bool = False
    ) -> None:
        self._mpi = _mpi()
        self._comm = self._mpi.COMM_WORLD if comm is None else comm
        nodes, rank = W.shape[0], self._comm.Get_rank()
        _check(nodes, self._comm.Get_size())
        self.root = rank == 0
        self.on_this_machine = self._place_on_machine()
        owner = self.agree(partition(W, self._comm.Get_size()) if self.root else np.empty(0, dtype=np.int64))
        own = np.flatnonzero(owner == rank)
        self.nodes = tuple(own.tolist())
        self._by_rank, self._sizes = np.argsort(owner, kind="stable"), np.bincount(owner)
        self._precision, self._gpu_direct = precision, gpu_direct
        self._plans = Lately(lambda W: _Plan(make_route(W, owner, rank), edges(W, own)))
        self._turns, self._tally = Turns(), Tally(nodes)
        self._leaving, self._arriving = torch.empty(0, 0), torch.empty(0, 0)
        self._row_types: dict[int, MPI.Datatype] = {}
        self._sent = 0

    def combine(self, messages: Tensor, W: csr_array, counted: bool = True) -> Tensor:
        """Σ_j W_ij·message_j: sums within the block are taken while the messages of others travel."""
        plan, out = self._plans(W), self._turns.next(messages)
        route = plan.route
        travelling = self._exchange(route, messages)
        if counted:
            self._tally.count(plan.edges)
        if self._precision == "fast" and plan.all.suit_a_product(messages):
            product(plan.own.dense(messages), messages, out)
            halo = self._arrived(travelling, messages, route.halo)
            return product(plan.others.dense(messages), halo, out, more=True) if route.halo else out
        in_node_order(route.weights, messages.unbind(), out, route.inner)
        halo = self._arrived(travelling, messages, route.halo)
        return in_node_order(route.weights, (*messages.unbind(), *halo.unbind()), out, route.outer)

    def gather(self, theta: Tensor) -> Tensor:
        """θ [N, d] at the root, in memory of its own; on the host unless MPI handles memory of the GPU."""
        theta = self._for_mpi(theta)
        row = self._row(theta)
        everyone = theta.new_empty(len(self._by_rank) if self.root else 0, theta.shape[1])
        self._comm.Gatherv([theta, len(theta), row], [everyone, self._sizes, row] if self.root else None)
        return everyone[np.argsort(self._by_rank)] if self.root else everyone

    def scatter(self, theta: Tensor | None, like: Tensor) -> Tensor:
        """The block's rows, in memory of its own."""
        if self.root and theta is None:
            raise TransportError("the root has no parameters to scatter; it must give those of all nodes")
        width = self.agree(None if theta is None else theta.shape[1]) or like.shape[1]
        own = self._for_mpi(like.new_empty(len(like), width))
        row, everyone = self._row(own), None
        if self.root and theta is not None:
            everyone = [self._for_mpi(theta.to(own)[self._by_rank]), self._sizes, row]
        self._comm.Scatterv(everyone, [own, len(own), row])
        return own.to(like.device)

    def agree(self, value: T) -> T:
        """The root's value."""
        result: T = self._comm.bcast(value)
        return result

    def collect(self, value: T) -> list[T]:
        """Everybody's values, in order of rank."""
        return self._comm.allgather(value)

    def carried(self) -> csr_array:
        """What every rank has summed since the last call, together."""
        first, *others = self.collect(self._tally.take())
        return sum(others, start=first)

    def volume(self) -> int:
        """The bytes that this rank has sent in rounds since the beginning."""
        return self._sent

    def _place_on_machine(self) -> tuple[int, int]:
        machine = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        place = machine.Get_rank(), machine.Get_size()
        machine.Free()
        return place

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
        """The halo [h, d], once all has come in and gone out."""
        self._mpi.Request.Waitall(requests)
        return self._arriving[:halo].to(messages.device)

    def _buffer(self, buffer: Tensor, rows: int, messages: Tensor) -> Tensor:
        """The buffer, or a new one if it does not have that many rows like the messages."""
        device = messages.device if self._gpu_direct else torch.device("cpu")
        fits = len(buffer) >= rows and buffer.shape[1] == messages.shape[1] and buffer.dtype == messages.dtype
        if fits and buffer.device == device:
            return buffer
        pinned = messages.is_cuda and device.type == "cpu"
        return torch.empty(rows, messages.shape[1], dtype=messages.dtype, device=device, pin_memory=pinned)

    def _for_mpi(self, theta: Tensor) -> Tensor:
        """θ where MPI may read and write it."""
        return _finish((theta if self._gpu_direct else theta.cpu()).contiguous())

    def _row(self, like: Tensor) -> "MPI.Datatype":
        """One row, as MPI counts: whole buffers may have more bytes than it has numbers for."""
        size = like.shape[1] * like.element_size()
        if size not in self._row_types:
            self._row_types[size] = self._mpi.BYTE.Create_contiguous(size).Commit()
        return self._row_types[size]


class _Plan:
    """What a rank has to do in a round with one matrix."""

    def __init__(self, route: Route, edges: csr_array) -> None:
        block = route.weights.shape[0]
        self.route, self.edges = route, edges
        self.all = Weights(route.weights, ordered=True)
        self.own, self.others = Weights(route.weights[:, :block]), Weights(route.weights[:, block:])


def partition(W: csr_array, ranks: int) -> NDArray[np.int64]:
    """Divide the nodes among ranks, in blocks that differ by at most one node, so that few messages travel.

    Nodes are laid out in their own order and in the reverse Cuthill-McKee order, either is cut into blocks, and pairs
    of nodes are exchanged (Kernighan and Lin, 1970). Of the two, the one with less to send is taken.

    Args:
        W: [N, N], who hears whom.
        ranks: how many there are.

    Returns:
        The rank [N] of every node.

    Raises:
        TransportError: if there are more ranks than nodes.
    """
    nodes = W.shape[0]
    _check(nodes, ranks)
    pattern = edges(W)
    links = csr_array(pattern + pattern.T)
    orders = (np.arange(nodes), reverse_cuthill_mckee(csr_matrix(links), symmetric_mode=True))
    owners = []
    for order in orders:
        owner = np.empty(nodes, dtype=np.int64)
        for rank, block in enumerate(np.array_split(order, ranks)):
            owner[block] = rank
        owners += [owner, _exchanged(links, owner)]
    return min(owners, key=lambda owner: len(_travelling(W, owner)))


def _exchanged(links: csr_array, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Exchange the two nodes of different blocks that gain most by it, for as long as fewer links are cut."""
    owner, nodes, ranks = owner.copy(), np.arange(len(owner)), int(owner.max()) + 1
    to_blocks = links @ np.eye(ranks, dtype=np.int64)[owner]
    while ranks > 1:
        gain = to_blocks - to_blocks[nodes, owner][:, None]
        best = np.stack([gain[owner == rank].max(axis=0) for rank in range(ranks)])
        both = np.where(np.eye(ranks, dtype=bool), -1, best + best.T)
        p, q = np.unravel_index(np.argmax(both), both.shape)
        i = nodes[owner == p][np.argmax(gain[owner == p, q])]
        j = nodes[owner == q][np.argmax(gain[owner == q, p])]
        if both[p, q] <= 2 * links[i, j]:
            break
        owner[i], owner[j] = q, p
        moved = (links[[j]] - links[[i]]).toarray()[0]
        to_blocks[:, p] += moved
        to_blocks[:, q] -= moved
    return owner


def make_route(W: csr_array, owner: NDArray[np.int64], rank: int) -> Route:
    """What a rank does in a round.

    Args:
        W: [N, N], the weights of the round, of any pattern.
        owner: [N], the rank of every node.
        rank: whose route it is.
    """
    W, own = canonical(W), np.flatnonzero(owner == rank)
    travelling = _travelling(W, owner)
    leaving, arriving = travelling[travelling[:, 1] == rank], travelling[travelling[:, 0] == rank]
    place = np.zeros(len(owner), dtype=np.int64)
    place[own], place[arriving[:, 2]] = np.arange(len(own)), len(own) + np.arange(len(arriving))
    heard = W[own]
    shape = (len(own), len(own) + len(arriving))
    weights = csr_array((heard.data, place[heard.indices], heard.indptr), shape=shape)
    outer = np.zeros(len(own), dtype=bool)
    outer[np.repeat(np.arange(len(own)), np.diff(heard.indptr))[weights.indices >= len(own)]] = True
    return Route(
        packed=np.searchsorted(own, leaving[:, 2]),
        sends=_parts(leaving[:, 0]),
        receives=_parts(arriving[:, 1]),
        weights=weights,
        inner=tuple(np.flatnonzero(~outer).tolist()),
        outer=tuple(np.flatnonzero(outer).tolist()),
    )


def _travelling(W: csr_array, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows that travel in a round, each once to every rank that needs it: receiver, sender, node; increasing."""
    to, heard = np.repeat(owner, np.diff(W.indptr)), W.indices
    away = to != owner[heard]
    return np.unique(np.column_stack([to[away], owner[heard[away]], heard[away]]), axis=0)


def _parts(ranks: NDArray[np.int64]) -> Parts:
    """The part of each rank in an increasing list of ranks."""
    values, first, count = np.unique(ranks, return_index=True, return_counts=True)
    return tuple((int(rank), slice(int(at), int(at + n))) for rank, at, n in zip(values, first, count, strict=True))


def _check(nodes: int, ranks: int) -> None:
    if ranks > nodes:
        raise TransportError(f"{ranks} ranks cannot share {nodes} nodes; there must be at least one node for each rank")


def _finish(buffer: Tensor) -> Tensor:
    """The buffer, once a GPU has written it: MPI does not wait for that."""
    if buffer.is_cuda:
        torch.cuda.current_stream(buffer.device).synchronize()
    return buffer


def _mpi() -> Any:
    """mpi4py's MPI; it begins to look for an MPI library when it is imported."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise TransportError(
            "there is no MPI library; install an MPI, for example with: pip install 'rewindnet[mpi]'"
        ) from error
    return MPI
