"""Rounds that no method has yet, over any transport: a token, a broadcast, sweeps, silence; checked against numpy.

As a script it is what `test_transports.py` has an MPI job do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.learning import Average, Gossip
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.engine import execute
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.network import Network

NODES, SIZE = 6, 10
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Some rounds: who hears whom in each, as a mixing object tells it."""

    name: str
    matrices: tuple[csr_array, ...]
    steps: tuple[CommunicationStep, ...] = ()

    @property
    def rounds(self) -> int:
        return len(self.matrices)

    @property
    def nodes(self) -> int:
        return NODES

    def matrix(self, round: int) -> csr_array:
        return self.matrices[round]


def _token() -> Case:
    """It travels from node to node, each of which adds it to its own; the others keep what they have."""
    matrices = []
    for t in range(2 * NODES):
        W = np.eye(NODES)
        W[(5 * t + 5) % NODES, 5 * t % NODES] = 0.5
        matrices.append(csr_array(W))
    return Case("token", tuple(matrices))


def _handed_over() -> Case:
    """One entry in the whole matrix: whoever does not hear anything holds nothing."""
    matrices = []
    for t in range(NODES):
        W = np.zeros((NODES, NODES))
        W[(t + 1) % NODES, t] = 2.0
        matrices.append(csr_array(W))
    return Case("handed-over", tuple(matrices))


def _broadcast() -> Case:
    W = np.zeros((NODES, NODES))
    W[:, 2] = 1.0
    return Case("broadcast", (csr_array(W),))


def _sweeps() -> Case:
    """Directed, of another pattern and with other weights in every round, columns not in order, some of them twice."""
    rng, matrices = np.random.default_rng(7), []
    for _ in range(9):
        count = int(rng.integers(0, 3 * NODES))
        rows, columns = np.sort(rng.integers(0, NODES, count)), rng.integers(0, NODES, count)
        bounds = np.searchsorted(rows, np.arange(NODES + 1))
        matrices.append(csr_array((rng.standard_normal(count), columns, bounds), shape=(NODES, NODES)))
    return Case("sweeps", tuple(matrices))


def _silence() -> Case:
    return Case("silence", (csr_array((NODES, NODES)), csr_array(np.eye(NODES))))


def _zeros() -> Case:
    """A stored zero is a message too."""
    places = (np.arange(NODES), (np.arange(NODES) + 1) % NODES)
    return Case("zeros", (csr_array((np.zeros(NODES), places), shape=(NODES, NODES)),))


def _average() -> Case:
    W = csr_array(np.full((NODES, NODES), 1 / NODES))
    return Case("average", (W, W), (Average(range(1)), Gossip(range(1, 2))))


CASES = (_token(), _handed_over(), _broadcast(), _sweeps(), _silence(), _zeros(), _average())


def initial() -> Array:
    return np.random.default_rng(1).standard_normal((NODES, SIZE))


def expected(case: Case, rounds: int) -> tuple[Array, NDArray[np.int64]]:
    """θ after so many rounds, and how often a message went from j to i in the last of them."""
    theta, carried = initial(), np.zeros((NODES, NODES), dtype=np.int64)
    for W in case.matrices[:rounds]:
        theta, carried = W.toarray() @ theta, np.zeros((NODES, NODES), dtype=np.int64)
        for i in range(NODES):
            for j in W.indices[W.indptr[i] : W.indptr[i + 1]]:
                carried[i, j] = i != j
    return theta, carried


def worker(nodes: Sequence[int]) -> ClientWorker:
    """Clients whose data nobody reads."""
    shards = np.split(np.arange(len(nodes)), len(nodes))
    x, y = torch.ones(len(nodes), 4, dtype=torch.float64), np.zeros(len(nodes), dtype=np.int64)
    block = make_block(
        Logistic(4, 2), x, y, shards, step_size=0.1, local_steps=1, nodes=tuple(nodes), node_by_node=True
    )
    return ClientWorker(block, {})


def go_through(network: Network, case: Case) -> None:
    """Store, exchange, keep, fetch, count; every state after every round is what numpy says."""
    network.store("initial", torch.from_numpy(initial()))
    steps = case.steps or (Gossip(range(case.rounds)),)
    keep = frozenset(range(1, case.rounds + 1))
    task = Task(case.name, 0, "initial", (), steps, 0, keep)
    carried, _ = execute(network, task, case)  # type: ignore[arg-type]
    assert np.array_equal(carried.toarray(), sum(expected(case, t)[1] for t in range(1, case.rounds + 1)))
    for t in sorted(keep):
        found = network.fetch(task.checkpoint_name(t))
        if network.root:
            np.testing.assert_allclose(found.numpy(), expected(case, t)[0], rtol=1e-13, atol=1e-13)
        assert network.root or found.shape == (0, SIZE)
        network.drop(task.checkpoint_name(t))
    assert network.carried().nnz == 0
    network.drop("initial")


def _main() -> None:
    from rewindnet.simulator.transports.in_process import WorkerNetwork
    from rewindnet.simulator.transports.mpi.wire import Ranks

    # The blocks are made for another matrix than any that is used.
    wire = Ranks(csr_array(np.eye(NODES)), "exact")
    network = WorkerNetwork(worker(wire.nodes), wire)
    for case in CASES:
        go_through(network, case)
    if wire.root:
        print("all is well")


if __name__ == "__main__":
    _main()
