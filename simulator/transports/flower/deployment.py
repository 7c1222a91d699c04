"""A Flower deployment on this machine: a SuperLink and N SuperNodes, over TLS, each node with a key of its own.

    our process ─┬─ superlink        keeps the messages
                 ├─ server           runs the ServerApp, once, and ends with it
                 ├─ supernode-0, …   carry messages between the SuperLink and
                 └─ client-0, …      the ClientApps, each kept in one process

One message there and back is some 40 requests, and a quarter of a second of one core, most of it the SuperLink's: this
shows that an app runs for real, and is too slow for a large one. Each record and each array in a message is fetched
by itself; a message of one `ConfigRecord` with the bytes in it takes a third less than one of arrays.

All of them listen on the loopback interface alone and keep what they write in one folder.
"""

import json
import os
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rewindnet.simulator.signals import terminable
from rewindnet.simulator.transports.flower.environment import QUIET
from rewindnet.simulator.transports.flower.errors import FlowerError
from rewindnet.simulator.transports.flower.keys import HOST, Keys, make_keys
from rewindnet.simulator.transports.flower.processes import Processes

#: Seconds between two looks at the processes.
_PAUSE = 0.1
#: Seconds that the SuperLink may take to start, and an app to be handed in.
_PATIENCE = 120.0
#: Seconds that a process may be stopped by a signal before the run is given up.
PATIENCE_WITH_STOPPED = 10.0
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Deployment:
    """A SuperLink that runs, and how to reach it.

    Attributes:
        folder: where everything is kept: `keys/`, `logs/`, `app/` and Flower's own `home/`.
        keys: of the servers and of the nodes that may join.
        address: of the SuperLink.
        processes: what was started.
    """

    folder: Path
    keys: Keys
    address: str
    processes: Processes

    @property
    def run_file(self) -> Path:
        """The file that holds the id of the run, once the app is handed in."""
        return self.folder / "run"

    def submit(self, server: str, client: str, config: Mapping[str, str]) -> None:
        """Make the nodes known to the SuperLink, and hand in the app."""
        app = write_app(self.folder / "app", server, client, config)
        public = [str(key) for key in self.keys.nodes_public]
        self.processes.start("submit", _service("submit", str(self.run_file), str(app), *public))
        self.wait(lambda: self.processes.ended("submit"), _PATIENCE, "the app was not handed in")

    def start_server(self, reference: str) -> None:
        """Start the process that will run the ServerApp, once the app is handed in."""
        secrets = (str(self.keys.authority), str(self.keys.secret))
        self.processes.start("server", _service("server", self.address, *secrets, reference, str(self.run_file)))

    def start_node(self, node: int, port: int, key: Path | None) -> None:
        """Start a SuperNode.

        Args:
            node: which partition it is.
            port: where its ClientApp will find it.
            key: its private key, if it has one.
        """
        identity = [] if key is None else ["--auth-supernode-private-key", str(key)]
        self.processes.start(
            f"supernode-{node}",
            _service(
                "supernode",
                *("--superlink", self.address, "--root-certificates", str(self.keys.authority), *identity),
                *("--node-config", f"partition-id={node} num-partitions={len(self.keys.nodes)}"),
                *_listening(self.keys, port),
            ),
        )

    def start_client(self, node: int, port: int, reference: str) -> None:
        """Start the process that runs the ClientApp of a SuperNode."""
        secrets = (str(self.keys.authority), str(self.keys.secret))
        self.processes.start(f"client-{node}", _service("client", f"{HOST}:{port}", *secrets, reference))

    def wait(self, done: Callable[[], bool], seconds: float, complaint: str) -> None:
        """Wait until a condition holds.

        Raises:
            FlowerError: with the complaint, if it is not in time.
        """
        give_up = time.monotonic() + seconds
        while not done():
            if time.monotonic() > give_up:
                raise FlowerError(f"{complaint} within {seconds:g} s")
            time.sleep(_PAUSE)


@contextmanager
def superlink(folder: Path, clients: int, port: int) -> Iterator[Deployment]:
    """Run a SuperLink, and stop it and everything else that was started with it at the end.

    Args:
        folder: where to keep everything; made if it is not there.
        clients: the number of nodes N, for each of which a key is made.
        port: where the SuperLink is to listen.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    keys = make_keys(folder / "keys", clients)
    address = f"{HOST}:{port}"
    home = folder / "home"
    home.mkdir(exist_ok=True)
    home.joinpath("config.toml").write_text(
        '[superlink]\ndefault = "deployment"\n\n[superlink.deployment]\n'
        f"address = {_toml(address)}\nroot-certificates = {_toml(str(keys.authority))}\n",
        encoding="utf-8",
    )
    (folder / "run").unlink(missing_ok=True)
    with terminable(), Processes(folder / "logs", _environment(home)) as processes:
        deployment = Deployment(folder, keys, address, processes)
        processes.start("superlink", _service("superlink", "--enable-supernode-auth", *_listening(keys, port)))
        yield deployment


def deployed(
    server: str,
    client: str,
    clients: int,
    config: Mapping[str, str],
    folder: Path,
    on_poll: Callable[[], None] | None = None,
) -> None:
    """Run a Flower app on a SuperLink and N SuperNodes, and stop them.

    Args:
        server: the ServerApp, as `module:attribute`. Flower looks for it in the source: a plain assignment at the
            top of the module, without a type annotation.
        client: the ClientApp, likewise.
        clients: the number of nodes N; each finds in its `node_config` which `partition-id` it has.
        config: the run config, which both apps find in their context.
        folder: where to keep everything; made if it is not there.
        on_poll: called about ten times a second while the app runs; what it raises ends the run.

    Raises:
        FlowerError: if the app fails, or any process ends before its time; with the last lines of its log.
    """
    _check(server, client, clients, config)
    with ExitStack() as stack:
        port, *node_ports = free_ports(clients + 1)
        deployment = stack.enter_context(superlink(folder, clients, port))
        processes = deployment.processes
        deployment.start_server(server)
        for node, node_port in enumerate(node_ports):
            deployment.start_client(node, node_port, client)
        deployment.wait(lambda: answers(deployment), _PATIENCE, "the SuperLink did not answer")
        deployment.submit(server, client, config)
        for node, node_port in enumerate(node_ports):
            deployment.start_node(node, node_port, deployment.keys.nodes[node])
        while not processes.ended("server"):
            processes.check_stopped(PATIENCE_WITH_STOPPED)
            if on_poll is not None:
                on_poll()
            time.sleep(_PAUSE)


def answers(deployment: Deployment) -> bool:
    """Return whether the SuperLink answers, over TLS.

    Raises:
        FlowerError: if it, or any other process, has ended.
    """
    deployment.processes.check()
    trust = ssl.create_default_context(cafile=deployment.keys.authority)
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with directly.open(f"https://{deployment.address}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def write_app(folder: Path, server: str, client: str, config: Mapping[str, str]) -> Path:
    """Write the folder that `flwr run` takes: no code, only where it is and the run config."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = "".join(f"{key} = {_toml(value)}\n" for key, value in config.items())
    folder.joinpath("pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1.0.0"\ndescription = "app"\nlicense = "Apache-2.0"\n\n'
        '[tool.flwr.app]\npublisher = "local"\nfab-include = ["pyproject.toml"]\n\n'
        f"[tool.flwr.app.components]\nserverapp = {_toml(server)}\nclientapp = {_toml(client)}\n\n"
        f"[tool.flwr.app.config]\n{settings}",
        encoding="utf-8",
    )
    return folder


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that no process listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listening in sockets:
            listening.bind((HOST, 0))
        return [listening.getsockname()[1] for listening in sockets]


def _check(server: str, client: str, clients: int, config: Mapping[str, str]) -> None:
    if clients < 1:
        raise FlowerError(f"a network of {clients} clients cannot be run; it takes at least 1")
    for reference in (server, client):
        if not _REFERENCE.fullmatch(reference):
            raise FlowerError(f"an app is given as 'module:attribute', not as {reference!r}")
    for key in config:
        if not _KEY.fullmatch(key):
            raise FlowerError(f"a key of the run config is made of letters, digits, - and _, unlike {key!r}")


def _service(role: str, *arguments: str) -> list[str]:
    # -P: what lies in the current folder is not to be imported in place of what was installed.
    return [
        sys.executable,
        "-P",
        "-m",
        "rewindnet.simulator.transports.flower.service",
        str(os.getpid()),
        role,
        *arguments,
    ]


def _listening(keys: Keys, port: int) -> Sequence[str]:
    return (
        *("--host", HOST, "--port", str(port)),
        *("--ssl-certfile", str(keys.certificate), "--ssl-keyfile", str(keys.certificate_key)),
        *("--ssl-ca-certfile", str(keys.authority)),
        # Apps run in processes that we start ourselves, and that prove it by the secret.
        *("--isolation", "process", "--superexec-auth-secret-file", str(keys.secret)),
    )


def _environment(home: Path) -> dict[str, str]:
    """Return our environment, with Flower's home in the folder; children find the modules that we can import."""
    paths = [str(Path(path).resolve()) for path in sys.path if path == "" or Path(path).exists()]
    return {
        **QUIET,
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_LOG_LEVEL": os.environ.get("FLWR_LOG_LEVEL", "WARNING"),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        # No proxy can reach this machine's loopback interface.
        "NO_PROXY": HOST,
        "no_proxy": HOST,
    }


def _toml(text: str) -> str:
    """Return a string in TOML: as in JSON, but that the character DEL may not stand for itself."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
