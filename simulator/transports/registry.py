"""The transports there are."""

from collections.abc import Callable, Mapping
from typing import Any

from rewindnet.simulator.transports.flower.transport import Flower
from rewindnet.simulator.transports.in_process import OneProcess
from rewindnet.simulator.transports.mpi.mpiexec import Mpi

#: Adding a transport is a file beside this one and a line in this dictionary.
TRANSPORTS: Mapping[str, Callable[..., Any]] = {"in-process": OneProcess, "mpi": Mpi, "flower": Flower}
