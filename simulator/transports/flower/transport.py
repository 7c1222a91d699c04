"""Flower as a transport: every node is a Flower client, and the ServerApp carries messages between them."""

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.errors import BrokenTransportError, TransportError
from rewindnet.simulator.transports.base import Job, Transport
from rewindnet.simulator.transports.flower.errors import FlowerError

if TYPE_CHECKING:
    from flwr.app import Context
    from flwr.serverapp import Grid

_APP = "rewindnet.simulator.transports.flower.app"

#: Memory that a SuperNode takes with its client.
_CLIENT_BYTES = 500 * 10**6


class Flower(Transport):
    """Flower clients, one a node, which keep their own state; the server carries messages along the edges.

    Args:
        runtime: `in-process` calls the clients one after another; `ray` is Flower's own simulation; `deployment` starts
            a SuperLink and SuperNodes on this machine, with TLS and a key for every node.
    """

    # Even where the clients are called in this process, each is on its own.
    one_process = False

    def __init__(self, *, runtime: Literal["in-process", "ray", "deployment"] = "in-process") -> None:
        self._runtime = runtime

    def check(self, nodes: int) -> None:
        """Refuse a deployment that this machine has no memory for, and Ray where it is not installed."""
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _CLIENT_BYTES
        if self._runtime == "deployment" and nodes > most:
            raise TransportError(
                f"a deployment starts a SuperNode and a client for each of {nodes} nodes, and this machine has memory "
                f"for {most} of them; use backend.runtime=in-process"
            )
        if self._runtime == "ray" and find_spec("ray") is None:
            raise TransportError("backend.runtime ray takes Ray; install it with: pip install 'rewindnet[ray]'")

    def execute(self, job: Job) -> None:
        """Run the job on the chosen runtime."""
        try:
            {"in-process": _in_process, "ray": _over_ray, "deployment": _deployed}[self._runtime](job)
        except FlowerError as problem:
            raise BrokenTransportError(_sentence(str(problem))) from None


def _sentence(text: str) -> str:
    """Return what was wrong in one line: where a log is told, the last line of it."""
    first, *log = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{first} {log[-1]}" if log else first


# Flower takes its time to be imported, and most runs do without.


def _in_process(job: Job) -> None:
    from rewindnet.simulator.transports.flower.client import make_app
    from rewindnet.simulator.transports.flower.runtimes import in_process

    worker_of = cache(lambda node: job.worker((node,)))

    def own_worker(context: "Context") -> ClientWorker:
        return worker_of(int(context.node_config["partition-id"]))

    in_process(_server(job), make_app(own_worker), job.nodes)


def _over_ray(job: Job) -> None:
    from rewindnet.simulator.transports.flower.app import app_for
    from rewindnet.simulator.transports.flower.runtimes import over_ray

    over_ray(_server(job), app_for(job.opener, job.description), job.nodes)


def _deployed(job: Job) -> None:
    from rewindnet.simulator.transports.flower.deployment import deployed

    config = {"opener": job.opener, "description": job.description}
    deployed(f"{_APP}:server", f"{_APP}:client", job.nodes, config, job.scratch, job.wait)


def _server(job: Job) -> "Callable[[Grid, Context], None]":
    from rewindnet.simulator.transports.flower.network import FlowerNetwork

    def server(grid: "Grid", context: "Context") -> None:
        job.run(FlowerNetwork(grid, job.nodes))

    return server
