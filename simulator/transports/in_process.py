"""A network whose processes each hold a block of its clients: all of them in one process, or a block on every rank."""

from typing import TypeVar

from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.training.disturbance import Disturbances
from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.transports.base import Job
from rewindnet.simulator.transports.wire import InProcess, Wire

T = TypeVar("T")


class Local:
    """A crew and the wire that joins it to the others: a `Network`.

    Args:
        crew: the clients of this process.
        wire: carries their messages.
    """

    def __init__(self, worker: ClientWorker, wire: Wire) -> None:
        self.worker, self.wire = worker, wire
        self.root = wire.root

    def begin(self, requests_met: int, name: str | None, measured: Disturbances | None = None) -> None:
        """As `Network` has it."""
        self.worker.begin(requests_met, name, measured)

    def apply(self, step: LocalStep) -> None:
        """As `Network` has it."""
        self.worker.apply(step)

    def exchange(self, step: CommunicationStep, round: int, W: csr_array, changed: csr_array | None = None) -> None:
        """As `Network` has it."""
        messages = self.worker.message(step, round)
        if changed is not None:
            self.worker.measure_drift(round, self.wire.combine(messages, changed, counted=False))
        self.worker.combine(step, round, self.wire.combine(messages, W))

    def keep(self, name: str) -> None:
        """As `Network` has it."""
        self.worker.keep(name)

    def drop(self, name: str) -> None:
        """As `Network` has it."""
        del self.worker.checkpoints[name]

    def fetch(self, name: str | None = None) -> Tensor:
        """As `Network` has it."""
        return self.wire.gather(self.worker.theta if name is None else self.worker.checkpoints[name])

    def store(self, name: str, theta: Tensor) -> None:
        """As `Network` has it."""
        self.worker.checkpoints[name] = self.wire.scatter(theta, self.worker.full.blank())

    def disturbances(self) -> Disturbances:
        """As `Network` has it."""
        return {node: own for some in self.wire.collect(self.worker.disturbances()) for node, own in some.items()}

    def carried(self) -> csr_array:
        """As `Network` has it."""
        return self.wire.carried()

    def agree(self, value: T) -> T:
        """As `Network` has it."""
        return self.wire.agree(value)


class OneProcess:
    """All clients in this process."""

    one_process = True

    def check(self, nodes: int) -> None:
        """As `Transport` has it: any number."""

    def execute(self, job: Job) -> None:
        """As `Transport` has it."""
        wire = InProcess(job.nodes, job.precision)
        job.run(Local(job.worker(wire.nodes), wire))
