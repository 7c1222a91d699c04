"""The wire between MPI ranks: routes and partitions by themselves, and whole jobs that mpiexec starts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from rewindnet import topologies
from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.mpi.division import divide_nodes, make_route
from rewindnet.simulator.transports.ordered import OrderedSums
from rewindnet.simulator.transports.sums import AlternatingBuffers, MessageCounter, edges
from rewindnet.simulator.transports.wire import InProcess

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests/support"
BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.is_file() else shutil.which("mpiexec")
with_mpi = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")


def network(family: str, nodes: int, **parameters: object) -> csr_array:
    return topologies.mix("metropolis-hastings", topologies.build(family, nodes, 1, **parameters))


def traffic(W: csr_array, owner: np.ndarray) -> int:
    """Rows that travel, each once to every rank that needs it; counted one by one."""
    return len({(owner[i], j) for i, j in zip(*W.nonzero(), strict=True) if owner[i] != owner[j]})


@given(nodes=st.integers(1, 30), density=st.floats(0, 1), ranks=st.integers(1, 6), seed=st.integers(0, 999))
def test_a_partition_is_even_and_repeats(nodes: int, density: float, ranks: int, seed: int) -> None:
    W = csr_array(random_array((nodes, nodes), density=density, rng=np.random.default_rng(seed)))
    if ranks > nodes:
        with pytest.raises(TransportError, match=f"{ranks} ranks cannot share {nodes} nodes"):
            divide_nodes(W, ranks)
        return
    owner = divide_nodes(W, ranks)
    sizes = np.bincount(owner, minlength=ranks)
    assert sizes.sum() == nodes
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(owner, divide_nodes(W.copy(), ranks))
    in_order = np.repeat(np.arange(ranks), [len(block) for block in np.array_split(np.arange(nodes), ranks)])
    assert traffic(W, owner) <= traffic(W, in_order)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_a_shuffled_ring_is_cut_where_it_is_thin(ranks: int) -> None:
    place = np.random.default_rng(0).permutation(60)
    W = network("ring", 60)[place][:, place]
    # Two rows leave at each cut of a ring; the Cuthill-McKee order lays it out as a strip of width two.
    assert traffic(W, divide_nodes(W, ranks)) <= 4 * (ranks - 1)


def test_nodes_are_exchanged_where_that_cuts_fewer_links() -> None:
    # Two cliques in alternating order, joined by one link.
    W = np.zeros((16, 16))
    W[::2, ::2] = W[1::2, 1::2] = W[0, 1] = W[1, 0] = 1
    owner = divide_nodes(csr_array(W), 2)
    assert traffic(csr_array(W), owner) == 2
    assert len(set(owner[::2])) == len(set(owner[1::2])) == 1


@given(
    nodes=st.integers(1, 12),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    ranks=st.integers(1, 4),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_routes_of_all_ranks_fit_together(
    nodes: int, density: float, ranks: int, seed: int, dtype: torch.dtype
) -> None:
    """A round by hand: what is packed for a rank is what it waits for, and its sums are those of one process."""
    rng = np.random.default_rng(seed)
    W = csr_array(random_array((nodes, nodes), density=density, rng=rng))
    messages = torch.from_numpy(rng.standard_normal((nodes, 5))).to(dtype)
    expected = InProcess(nodes, "exact").mix(messages, W)
    owner = rng.integers(0, ranks, nodes)
    routes = [make_route(W, owner, rank) for rank in range(ranks)]
    blocks = [messages[owner == rank] for rank in range(ranks)]
    for rank, (route, block) in enumerate(zip(routes, blocks, strict=True)):
        halo = torch.full((route.halo, 5), torch.nan, dtype=dtype)
        for sender, part in route.receives:
            sent = dict(routes[sender].sends)[rank]
            halo[part] = blocks[sender][routes[sender].packed[sent]]
        assert sorted((*route.inner, *route.outer)) == list(range(len(block)))
        out = torch.full_like(block, torch.nan)
        OrderedSums(route.weights, route.inner).add_up(block, out)
        OrderedSums(route.weights, route.outer).add_up(torch.cat((block, halo)), out)
        assert torch.equal(out, expected[owner == rank])
    assert sum(len(route.packed) for route in routes) == traffic(W, owner) == sum(route.halo for route in routes)


def test_results_stay_for_one_more_call() -> None:
    W, wire = network("ring", 6), InProcess(6, "exact")
    other = torch.randn(6, 3)
    first = wire.mix(other, W)
    kept = first.clone()
    second = wire.mix(2 * other, W)
    assert torch.equal(first, kept)
    # A view of a result is in its memory too.
    third = wire.mix(second[:], W)
    assert torch.equal(third, 2 * InProcess(6, "exact").mix(kept, W))


def test_a_buffer_is_neither_the_latest_nor_where_the_messages_are() -> None:
    turns, theta = AlternatingBuffers(), torch.zeros(2, 3)
    given_out = [turns.next(theta) for _ in range(4)]
    assert given_out[0].data_ptr() != given_out[1].data_ptr()
    assert [buffer.data_ptr() for buffer in given_out[:2]] == [buffer.data_ptr() for buffer in given_out[2:]]
    assert turns.next(given_out[2]).data_ptr() not in {given_out[3].data_ptr(), given_out[2].data_ptr()}
    assert turns.next(torch.zeros(2, 3, dtype=torch.float64)).dtype == torch.float64


def test_messages_are_counted_as_often_as_they_travel() -> None:
    rng = np.random.default_rng(3)
    Ws = [csr_array(random_array((7, 7), density=0.3, rng=rng)) for _ in range(12)]
    tally, expected = MessageCounter(7), np.zeros((7, 7), dtype=np.int64)
    for k in rng.integers(0, 12, 50):
        pattern = edges(Ws[k])
        tally.count(pattern)
        tally.count(pattern)
        expected += 2 * ((Ws[k].toarray() != 0) & ~np.eye(7, dtype=bool))
    np.testing.assert_array_equal(tally.take().toarray(), expected)
    assert tally.take().nnz == 0


@pytest.mark.parametrize("length", [3, 33_001])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_and_products_change_nothing_but_rounding(length: int, density: float, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(1)
    W = csr_array(random_array((40, 40), density=density, rng=rng))
    messages = torch.from_numpy(rng.standard_normal((40, length))).to(dtype)
    expected = torch.zeros_like(messages)
    for i in range(40):
        for at in range(W.indptr[i], W.indptr[i + 1]):
            expected[i].add_(messages[W.indices[at]], alpha=float(W.data[at]))
    assert torch.equal(InProcess(40, "exact").mix(messages, W), expected)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
    torch.testing.assert_close(InProcess(40, "fast").mix(messages, W), expected, rtol=tolerance, atol=tolerance)


def test_in_process_needs_something_to_scatter() -> None:
    theta = torch.randn(3, 2)
    wire = InProcess(3)
    assert wire.scatter(theta, theta) is theta
    assert wire.scatter(theta.double(), theta).dtype == torch.float32
    with pytest.raises(TransportError, match="no parameters"):
        wire.scatter(None, theta)


def mpi(ranks: int, script: str, *arguments: str) -> "subprocess.Popen[str]":
    """An MPI job in the background."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)])}
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", str(SUPPORT / script), *arguments]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(job: "subprocess.Popen[str]", seconds: float) -> str:
    """What the job said, once it has ended."""
    try:
        return job.communicate(timeout=seconds)[0]
    finally:
        job.terminate()
        job.wait()


@with_mpi
@pytest.mark.parametrize("ranks", [2, *(pytest.param(ranks, marks=pytest.mark.slow) for ranks in (1, 3, 4))])
def test_ranks_compute_what_one_process_does(ranks: int) -> None:
    job = mpi(ranks, "mpi_wire.py")
    said = ended(job, 300)
    assert job.returncode == 0, said
    assert "all is well" in said


@with_mpi
@pytest.mark.slow
@pytest.mark.transports
def test_an_error_on_one_rank_ends_the_job(tmp_path: Path) -> None:
    job = mpi(2, "mpi_failing.py", "raise", str(tmp_path))
    said = ended(job, 60)
    assert job.returncode not in (0, None)
    assert "RuntimeError: rank 1 fails" in said


@with_mpi
@pytest.mark.slow
@pytest.mark.transports
def test_a_rank_that_is_killed_ends_the_job(tmp_path: Path) -> None:
    job = mpi(2, "mpi_failing.py", "wait", str(tmp_path))
    try:
        limit = time.monotonic() + 60
        while not (tmp_path / "pid").exists():
            assert job.poll() is None, ended(job, 1)
            assert time.monotonic() < limit
            time.sleep(0.02)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    finally:
        ended(job, 20)
    assert job.returncode not in (0, None)
