"""The processes of a deployment, which a parent process starts as `python -m THIS_MODULE PARENT ROLE …`.

Flower's own commands would do, but for three things. They have no `python -m` form, so that they may be found in
another environment than ours, or not at all. Their pauses are written for networks of hours and days: a SuperNode
looks for messages every 3 s. And a SuperNode starts one Python for each message: with torch to import, seconds each.
Here the ClientApp stays in one process that takes one message after another, as Flower's `flwr-clientapp` takes one.

Everything this needs of Flower that Flower does not promise to keep is imported in this file, inside the role that
needs it: the entry points of its commands; the modules whose pauses are shortened; and for `server` and `client` the
client of its Runtime API, by which a process asks for a task, is given what belongs to it, and hands in the outcome.
"""

import importlib
import io
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rewindnet.simulator.transports.flower.patience import Patience

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp
    from flwr.supercore.runtime import RuntimeHttpClient

#: Seconds before another look for what is on its way already.
_PAUSE = 0.02
#: Seconds that a SuperNode sleeps when there is no message for it; it sleeps less for other reasons.
_IDLE = 3
#: Seconds between two looks at whether the process that started this one is still there.
_WATCH = 0.5


def superlink(*arguments: str) -> None:
    """Run `flower-superlink`."""
    from flwr.superlink.cli import flower_superlink

    sys.argv = ["flower-superlink", *arguments]
    flower_superlink()


def supernode(*arguments: str) -> None:
    """Run `flower-supernode`, looking for messages more often than every 3 s."""
    from flwr.supernode import start_client_internal
    from flwr.supernode.cli import flower_supernode

    shorten_pulls()
    patience = Patience()

    def sleep(seconds: float) -> None:
        if seconds < _IDLE:  # it has a message, and waits for its own ClientApp
            patience.renew()
            time.sleep(_PAUSE)
        else:
            patience.pause()

    vars(start_client_internal)["time"] = SimpleNamespace(sleep=sleep)
    sys.argv = ["flower-supernode", *arguments]
    flower_supernode()


def submit(run: str, app: str, *public_keys: str) -> None:
    """Make the nodes known to the SuperLink, hand in an app, and write the id of its run to a file.

    Args:
        run: the file.
        app: folder of the app.
        public_keys: file of each node's public key.
    """
    from flwr.cli.app import app as flwr

    for key in public_keys:
        flwr(["supernode", "register", key], standalone_mode=False)
    # Asked for JSON, Flower captures other output, and writes its answer past it.
    output = io.StringIO()
    vars(sys)["__stdout__"] = output
    flwr(["run", app, "--format", "json"], standalone_mode=False)
    answer = json.loads(output.getvalue())
    if not answer["success"]:
        raise SystemExit(f"the app was not taken: {answer['error-message']}")
    partial = Path(f"{run}.partial")
    partial.write_text(answer["run-id"], encoding="utf-8")
    partial.replace(run)


def server(address: str, authority: str, secret: str, reference: str, run: str) -> None:
    """Run the ServerApp of one run, and end with it.

    Args:
        address: of the SuperLink.
        authority: file of the certificate that the SuperLink is checked against.
        secret: file of the secret that this process shows it.
        reference: `module:attribute` of the ServerApp.
        run: file that will hold the id of the run.
    """
    from flwr.supercore.constant import TaskType
    from flwr.superlink.runtime import run_serverapp

    shorten_pulls()
    load(reference)  # while the rest of the network starts
    while not Path(run).exists():
        time.sleep(_PAUSE)
    expected = int(Path(run).read_text(encoding="utf-8"))
    client = _runtime(address, authority, [_executor(secret)])
    run_id, token = _task(client, TaskType.SERVER_APP)
    if run_id != expected:
        raise SystemExit(f"the SuperLink gave out run {run_id}, which is not ours: {expected}")
    client.close()
    log: Queue[str | None] = Queue()
    run_serverapp(address, log, token, insecure=False, certificates=Path(authority).read_bytes())


def client(address: str, authority: str, secret: str, reference: str) -> None:
    """Run a ClientApp for one message after another, for as long as its SuperNode is there.

    Args:
        address: of the SuperNode.
        authority: file of the certificate that the SuperNode is checked against; empty, if it speaks without TLS.
        secret: file of the secret that this process shows it; empty, if it asks for none.
        reference: `module:attribute` of the ClientApp.
    """
    from flwr.clientapp import ClientApp
    from flwr.supercore.constant import TaskType
    from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http

    shorten_pulls()
    app = load(reference)
    if not isinstance(app, ClientApp):
        raise SystemExit(f"{reference} is no ClientApp")
    tasks = _runtime(address, authority, [_executor(secret)] if secret else [])
    badge = _Badge()
    work = _runtime(address, authority, [badge])
    alive = make_task_heartbeat_fn_http(work)

    def beat() -> bool:
        with badge.lock:
            return badge.token is None or alive()

    HeartbeatSender(beat).start()
    while True:
        _, badge.token = _task(tasks, TaskType.CLIENT_APP)
        _answer(work, app, badge)


def _answer(work: "RuntimeHttpClient", app: "ClientApp", badge: "_Badge") -> None:
    """Take the message of a task, call the app, and hand in its answer and its context, as `flwr-clientapp` does."""
    from flwr.app import Error, Message
    from flwr.common.constant import ErrorCode, SubStatus
    from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

    message, context, _, _ = pull_task_input(work)
    status, details = SubStatus.COMPLETED, ""
    try:
        reply = app(message, context)
    except Exception as error:
        traceback.print_exc()
        details = f"{type(error)}:<'{error}'>"
        status = SubStatus.FAILED
        reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, details), reply_to=message)
    # In this order: the token ends with the outcome. The next message waits for both, so that it meets this context.
    push_message(work, reply, context)
    with badge.lock:
        push_task_output(work, context, status, details)
        badge.token = None


class _Badge:
    """Shows the token of the current task with every request.

    A lock is held while the task is ended: a sign of life for a task that has ended would end this process.
    """

    def __init__(self) -> None:
        self.token: str | None = None
        self.lock = threading.Lock()

    def intercept(self, context: Any, call_next: Callable[[Any], Any]) -> Any:
        """Pass the request on, with the token."""
        from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor

        return RuntimeTokenHttpInterceptor(self.token or "none").intercept(context, call_next)


def _executor(secret: str) -> Any:
    """Return what shows the secret of the processes that run apps when a task is asked for."""
    from flwr.supercore.interceptors import SuperExecAuthHttpInterceptor

    return SuperExecAuthHttpInterceptor(
        master_secret=Path(secret).read_bytes(), protected_methods=["/flwr.proto.Runtime/AcquireTask"]
    )


def _runtime(address: str, authority: str, interceptors: Sequence[Any]) -> "RuntimeHttpClient":
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
    from flwr.supercore.runtime import RuntimeHttpClient

    version = RuntimeVersionHttpInterceptor(component_name="SuperExec")
    return RuntimeHttpClient.from_server_address(
        address,
        insecure=not authority,
        root_certificates=Path(authority).read_bytes() if authority else None,
        interceptors=[version, *interceptors],
    )


def _task(client: "RuntimeHttpClient", kind: str) -> tuple[int, str]:
    """Wait for a task; return the run that it belongs to, and its token."""
    import httpx
    from flwr.proto.runtime_pb2 import AcquireTaskRequest

    request = AcquireTaskRequest(supported_task_types=[kind])
    patience = Patience()
    while True:
        try:
            answer = client.AcquireTask(request)
        except httpx.ConnectError:
            pass  # its server has not started yet
        else:
            if answer.token:
                return answer.task.run_id, answer.token
        patience.pause()


def load(reference: str) -> Any:
    """Import the object at `module:attribute`."""
    module, _, attributes = reference.partition(":")
    result: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        result = getattr(result, attribute)
    return result


def shorten_pulls() -> None:
    """Shorten the pauses before Flower looks again for a part of a message: the next is always on its way."""
    from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree, pull_objects

    for pull in (pull_objects, pull_and_inflate_object_from_tree):
        pull.__kwdefaults__ = {**(pull.__kwdefaults__ or {}), "initial_backoff": _PAUSE, "backoff_cap": 1.0}


def _end_with(parent: int) -> None:
    """End this session as soon as the process that started it is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="watch").start()


ROLES: dict[str, Callable[..., None]] = {
    "superlink": superlink,
    "supernode": supernode,
    "submit": submit,
    "server": server,
    "client": client,
}

if __name__ == "__main__":
    _end_with(int(sys.argv[1]))
    ROLES[sys.argv[2]](*sys.argv[3:])
