"""What `test_mpi_wire.py` has every rank of an MPI job do: it raises where a wire does not do what it must.

Three ranks try it as one and two, and as three; four as two and two, and as four.
"""

import itertools
import sys
from collections.abc import Iterator

import numpy as np
import torch
from mpi4py import MPI
from scipy.sparse import csr_array, eye_array, random_array

from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.mpi.division import divide_nodes
from rewindnet.simulator.transports.mpi.wire import Ranks
from rewindnet.simulator.transports.wire import InProcess, Precision

NODES, LENGTH = 13, 37
SIZES = {3: (1, 3), 4: (2, 4)}


def matrices(nodes: int) -> Iterator[csr_array]:
    """Networks, and every pattern that a round may have."""
    ring = (
        eye_array(nodes, k=1) + eye_array(nodes, k=-1) + eye_array(nodes, k=nodes - 1) + eye_array(nodes, k=1 - nodes)
    )
    chords = random_array((nodes, nodes), density=0.1, rng=np.random.default_rng(4))
    yield csr_array(0.2 * (chords + chords.T + ring + eye_array(nodes)))
    yield csr_array((ring + eye_array(nodes)) / 3)
    yield csr_array(np.full((nodes, nodes), 1 / nodes))
    yield csr_array((nodes, nodes))
    yield csr_array(eye_array(nodes))
    rng = np.random.default_rng(5)
    for density in (0.05, 0.3, 0.9):
        yield csr_array(random_array((nodes, nodes), density=density, rng=rng))
    for source, target in ((0, nodes - 1), (nodes - 1, 0), (nodes // 2, nodes // 2)):
        yield csr_array(([1.0], ([target], [source])), shape=(nodes, nodes))
    yield csr_array((np.full(nodes, 0.7), (np.arange(nodes), np.full(nodes, nodes // 3))), shape=(nodes, nodes))
    yield csr_array((np.full(nodes, 0.7), (np.full(nodes, nodes // 3), np.arange(nodes))), shape=(nodes, nodes))
    unsorted = csr_array(random_array((nodes, nodes), density=0.5, rng=rng))
    for row in range(nodes):
        part = slice(unsorted.indptr[row], unsorted.indptr[row + 1])
        unsorted.indices[part], unsorted.data[part] = unsorted.indices[part][::-1], unsorted.data[part][::-1]
    unsorted.has_sorted_indices = False
    yield unsorted


def start(nodes: int, length: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(nodes, length, dtype=dtype, generator=torch.Generator().manual_seed(1))


def one_by_one(W: csr_array, theta: torch.Tensor) -> torch.Tensor:
    """The definition, in no hurry."""
    out, entries = torch.zeros_like(theta), W.tocoo()
    for i, j, weight in sorted(zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True)):
        out[i].add_(theta[j], alpha=weight)
    return out


def sums(comm: MPI.Comm, nodes: int, length: int, dtype: torch.dtype, precision: Precision, times: int = 1) -> None:
    """Every pattern in turn, so many times over; what comes out is what is sent next."""
    Ws = list(matrices(nodes))
    wire, reference = Ranks(Ws[0], precision, comm), InProcess(nodes, precision)
    whole = start(nodes, length, dtype)
    own = whole[list(wire.nodes)]
    for W in [*Ws * times, Ws[0], Ws[0], Ws[0]]:
        expected, before = one_by_one(W, whole), own.clone()
        mixed, inside = wire.mix(own, W), reference.mix(whole, W)
        assert torch.equal(own, before)
        assert mixed.shape == own.shape
        if precision == "exact":
            assert torch.equal(mixed, expected[list(wire.nodes)])
            assert torch.equal(inside, expected)
        tolerance = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
        torch.testing.assert_close(mixed, expected[list(wire.nodes)], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(inside, expected, rtol=tolerance, atol=tolerance)
        # Go on from the results, where there is something left of them.
        again = float(expected.norm()) > 1.0
        whole = expected if again else start(nodes, length, dtype)
        own = mixed if again and precision == "exact" else whole[list(wire.nodes)]
    mixed, once = wire.mix(own, Ws[0]), one_by_one(Ws[0], whole)
    twice = wire.mix(mixed, Ws[0])
    torch.testing.assert_close(twice, one_by_one(Ws[0], once)[list(wire.nodes)], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(mixed, once[list(wire.nodes)], rtol=tolerance, atol=tolerance)


def counts(comm: MPI.Comm) -> None:
    """What was carried is the sum of the patterns; what was sent is what the cut of the partition asks for."""
    Ws = list(matrices(NODES))
    owner, rank = divide_nodes(Ws[0], comm.Get_size()), comm.Get_rank()
    own = np.flatnonzero(owner == rank).tolist()
    for dtype, precision in ((torch.float32, "fast"), (torch.float64, "exact")):
        wire, inside = Ranks(Ws[0], precision, comm), InProcess(NODES, precision)
        assert list(wire.nodes) == own
        whole = torch.ones(NODES, LENGTH, dtype=dtype)
        for used in (Ws, Ws[:3] * 2, []):
            expected, rows, before = np.zeros((NODES, NODES), dtype=np.int64), 0, wire.volume()
            for W in used:
                wire.mix(whole[own], W)
                inside.mix(whole, W)
                stored = np.zeros((NODES, NODES), dtype=np.int64)
                stored[np.repeat(np.arange(NODES), np.diff(W.indptr)), W.indices] = 1
                np.fill_diagonal(stored, 0)
                expected += stored
                needed = {(owner[i], j) for i, j in zip(*np.nonzero(stored), strict=True) if owner[i] != owner[j]}
                rows += sum(owner[j] == rank for _, j in needed)
            for carried in (wire.carried(), inside.carried()):
                assert carried.dtype == np.int64
                np.testing.assert_array_equal(carried.toarray(), expected)
            assert wire.volume() - before == rows * LENGTH * torch.finfo(dtype).bits // 8


def collectives(comm: MPI.Comm) -> None:
    W = next(matrices(NODES))
    wire, rank = Ranks(W, "exact", comm), comm.Get_rank()
    assert wire.root == (rank == 0)
    place, together = wire.rank_on_machine, wire.ranks_on_machine
    assert sorted(wire.collect(place)) == list(range(together)) == list(range(comm.Get_size()))
    try:
        Ranks(csr_array((comm.Get_size() - 1,) * 2), "exact", comm)
    except TransportError as error:
        assert "there must be at least one node for each rank" in str(error)  # noqa: PT017
    else:
        raise AssertionError("more ranks than nodes")
    assert wire.agree({"rank": rank}) == {"rank": 0}
    assert wire.collect(rank) == list(range(comm.Get_size()))
    assert sorted(node for nodes in wire.collect(wire.nodes) for node in nodes) == list(range(NODES))
    for dtype, length in itertools.product((torch.float32, torch.float64), (1, LENGTH)):
        whole = start(NODES, length, dtype)
        own = wire.scatter(whole if wire.root else None, torch.empty(len(wire.nodes), length, dtype=dtype))
        assert torch.equal(own, whole[list(wire.nodes)])
        gathered = wire.gather(own)
        assert torch.equal(gathered, whole if wire.root else torch.empty(0, length, dtype=dtype))
        narrow = wire.scatter(whole.double() if wire.root else None, own.float())
        assert torch.equal(narrow, whole.float()[list(wire.nodes)])
        # A view whose rows do not lie one after the other.
        assert torch.equal(wire.gather(own.t().contiguous().t()), gathered)


def main() -> None:
    torch.set_num_threads(1)
    world = MPI.COMM_WORLD
    for size in SIZES.get(world.Get_size(), (world.Get_size(),)):
        comm = world.Split(int(world.Get_rank() < size), world.Get_rank())
        sums(comm, NODES, LENGTH, torch.float64, "exact", times=2)
        sums(comm, NODES, LENGTH, torch.float32, "exact")
        sums(comm, NODES, LENGTH, torch.float64, "fast")
        # Rows so long that threads share the work, and blocks so small that a rank has but one node.
        sums(comm, 4, 40_001, torch.float64, "exact")
        counts(comm)
        collectives(comm)
        comm.Free()
    if world.Get_rank() == 0:
        print("all is well")


if __name__ == "__main__":
    sys.exit(main())
