"""The base classes of transports, which run the clients of a job and carry their messages, and of jobs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import ClassVar, cast

from scipy.sparse import csr_array

from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.wire import Precision


class Job(ABC):
    """A run in the form that a transport executes.

    Attributes:
        nodes: N.
        weights: the mixing matrix [N, N] of the whole graph, by which nodes are divided among processes.
        precision: how neighbours are summed.
        threads: the number of threads of each process; None for the default.
        scratch: a folder for messages to other processes.
        opener: a function that makes a job from its description, as `module:name`.
    """

    nodes: int
    weights: csr_array
    precision: Precision
    threads: int | None

    scratch: Path
    opener: str

    @property
    @abstractmethod
    def description(self) -> str:
        """The text from which the opener makes the same job in another process."""

    @abstractmethod
    def worker(self, nodes: Sequence[int], rank_on_machine: int = 0) -> ClientWorker:
        """Return the clients at these nodes.

        Args:
            nodes: the nodes, increasing.
            rank_on_machine: the number of this process among those of the job on its machine.
        """

    @abstractmethod
    def run(self, network: Network) -> None:
        """Run the job on this network, in this process."""

    def wait(self) -> None:
        """Do periodic work while other processes run the job; by default nothing."""


class Transport(ABC):
    """Runs jobs. Its settings are the keyword-only parameters of its constructor.

    Attributes:
        one_process: whether all clients are in one process, so that what one of them draws from the operating system
            all can have.
    """

    one_process: ClassVar[bool] = False

    def check(self, nodes: int) -> None:
        """Check before the run that the transport can run a number of nodes here.

        Raises:
            TransportError: if it cannot; the message says what it can run.
        """

    @abstractmethod
    def execute(self, job: Job) -> None:
        """Run the job to its end.

        Raises:
            BrokenTransportError: if a process of the transport's failed.
            RunError: if the job did.
        """


def open_job(opener: str, description: str) -> Job:
    """Return the job of a description, in a process that was started to work on it.

    Args:
        opener: the function that makes it, as `module:name`.
        description: the description of the job.
    """
    module, _, name = opener.partition(":")
    return cast(Callable[[str], Job], getattr(import_module(module), name))(description)
