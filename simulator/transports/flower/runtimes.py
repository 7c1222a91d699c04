"""Three ways of running a Flower app, which look the same to its author."""

import importlib.util
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from rewindnet.simulator.transports.flower.deployment import deployed
from rewindnet.simulator.transports.flower.errors import FlowerError
from rewindnet.simulator.transports.flower.grid import DirectGrid, server_context, server_identity

__all__ = ["FlowerError", "Server", "deployed", "in_process", "over_ray"]

#: What a ServerApp does: it sends messages over the grid and takes the answers.
Server = Callable[[Grid, Context], None]

#: Seconds between two looks for answers over Ray; Flower's own are 0.1.
_PAUSE = 0.01


def in_process(server: Server, client_app: ClientApp, clients: int) -> None:
    """Run a Flower app by calling its clients one after another, in this process.

    Args:
        server: the part of the ServerApp.
        client_app: what runs at every node.
        clients: the number of nodes N; each finds in its `node_config` which `partition-id` it has.

    Raises:
        FlowerError: if there are no clients; and whatever the server raises.
    """
    grid = DirectGrid(client_app, clients)
    with server_identity():
        server(grid, server_context())


def over_ray(server: Server, client_app: ClientApp, clients: int) -> None:
    """Run a Flower app in Flower's simulation, where the clients take turns in as many processes as there are cores.

    The client app is sent to these processes: what it refers to must be importable there, as it is here.

    Args:
        server: the part of the ServerApp; runs in a thread of this process.
        client_app: what runs at every node.
        clients: the number of nodes N; each finds in its `node_config` which `partition-id` it has.

    Raises:
        FlowerError: if there are no clients, Ray is not installed or already runs; and whatever the server raises.
    """
    if clients < 1:
        raise FlowerError(f"a network of {clients} clients cannot be run; it takes at least 1")
    if importlib.util.find_spec("ray") is None:
        raise FlowerError("Flower's simulation takes Ray, which is not installed; the extra 'ray' brings it")
    with _quiet(), _as_it_was():
        _simulate(server, client_app, clients)


def _simulate(server: Server, client_app: ClientApp, clients: int) -> None:
    import ray
    from flwr.simulation import run_simulation

    if ray.is_initialized():
        raise FlowerError("Ray already runs in this process; Flower's simulation would shut it down at its end")
    stopped = threading.Event()
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        _make_stoppable(grid, stopped)
        server(grid, context)

    resources = {
        "init_args": {
            "num_cpus": min(clients, len(os.sched_getaffinity(0))),
            "num_gpus": 0,
            "log_to_driver": False,
            "logging_level": "ERROR",
        },
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    }
    try:
        run_simulation(app, client_app, clients, backend_config=resources)  # type: ignore[arg-type]
    finally:
        stopped.set()
        ray.shutdown()


def _make_stoppable(grid: Grid, stopped: threading.Event) -> None:
    """Let the server's thread end when the simulation has, for no client would answer it any more."""
    pull = grid.pull_messages

    def pull_messages(message_ids: Iterable[str]) -> Iterable[Message]:
        if stopped.is_set():
            raise FlowerError("the simulation has ended")
        return pull(message_ids)

    vars(grid).update(pull_messages=pull_messages, pull_interval=_PAUSE)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the log of Flower: everything that matters comes as an exception or an answer."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Undo what Flower's simulation and Ray leave behind in this process: variables, and what SIGTERM does."""
    environment = dict(os.environ)
    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        if ours:
            signal.signal(signal.SIGTERM, before)
