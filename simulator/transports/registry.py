"""The registry of transports."""

from collections.abc import Callable
from typing import Any

from rewindnet.registry import Registry
from rewindnet.simulator.errors import TransportError

#: Built as `TRANSPORTS[kind](*, settings)`.
TRANSPORTS: Registry[Callable[..., Any]] = Registry(
    "transport",
    {
        "in-process": "rewindnet.simulator.transports.in_process:OneProcess",
        "mpi": "rewindnet.simulator.transports.mpi.mpiexec:Mpi",
        "flower": "rewindnet.simulator.transports.flower.transport:Flower",
    },
    TransportError,
)
