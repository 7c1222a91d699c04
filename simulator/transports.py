"""The transports there are."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.flower.transport import Flower
from simulator.local import OneProcess
from simulator.mpiexec import Mpi

#: Adding a transport is a file beside this one and a line in this dictionary.
TRANSPORTS: Mapping[str, Callable[..., Any]] = {"in-process": OneProcess, "mpi": Mpi, "flower": Flower}
