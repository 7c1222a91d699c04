"""A Flower app gives the same answers on every runtime, and what fails in it comes back as a sentence."""

import gc
import importlib
import inspect
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import flower_counter as counter
import numpy as np
import pytest
from flwr.app import Array, Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rewindnet.simulator.transports.flower import patience, service
from rewindnet.simulator.transports.flower.arrays import STYPE, pack, unpack
from rewindnet.simulator.transports.flower.deployment import answers, deployed, free_ports, superlink
from rewindnet.simulator.transports.flower.environment import QUIET
from rewindnet.simulator.transports.flower.errors import FlowerError
from rewindnet.simulator.transports.flower.exchange import exchange, node_ids
from rewindnet.simulator.transports.flower.grid import FIRST_NODE_ID, DirectGrid, server_identity
from rewindnet.simulator.transports.flower.keys import make_keys, make_pair
from rewindnet.simulator.transports.flower.processes import Processes
from rewindnet.simulator.transports.flower.runtimes import in_process, over_ray

DTYPES = ["?", "i1", "u2", "i4", ">i4", "i8", "f2", "f4", ">f4", "f8", "c16"]


def run_count(run, clients, rounds, size=10):
    """Count on a runtime; what it says, once it is right."""
    outcome = {}

    def server(grid: Grid, context: Context) -> None:
        outcome.update(counter.count(grid, clients, rounds, size))

    run(server, counter.client, clients)
    assert outcome["totals"] == counter.expected(clients, rounds)
    assert outcome["calls"] == [rounds] * clients
    return outcome


def alive(pid):
    """Whether a process runs: one that has ended and is not yet buried does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes_of(folder):
    """The processes of the deployment in a folder, by role, as the system tells of them."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            if f"FLWR_HOME={folder}/home".encode() in (process / "environ").read_bytes().split(b"\0"):
                words = (process / "cmdline").read_bytes().split(b"\0")
                found[int(process.name)] = b" ".join(words).decode()
        except (OSError, ValueError):
            continue  # not a process, or no longer
    return {pid: words for pid, words in found.items() if alive(pid)}


def deploy(folder, clients=2, rounds=2, *, on_poll=None, **config):
    """Count in a deployment; what it says, if it comes to an end."""
    out = folder / "out.json"
    config = {"out": str(out), "clients": str(clients), "rounds": str(rounds), **config}
    deployed("flower_counter:server", "flower_counter:client", clients, config, folder, on_poll)
    outcome = json.loads(out.read_text(encoding="utf-8"))
    assert outcome["config"] == config
    return outcome


def wait_for(condition, seconds):
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up, f"it did not happen within {seconds} s"
        time.sleep(0.05)
    return found


def ask(grid, kind):
    return exchange(grid, [Message(RecordDict(), node, kind) for node in node_ids(grid, 3)])


class TestArrays:
    @given(array=st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0))))
    def test_an_array_comes_out_as_it_went_in(self, array):
        came = unpack(pack(array))
        assert came.dtype == array.dtype.newbyteorder("=")
        assert came.shape == array.shape
        assert came.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()

    @pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
    def test_arrays_of_no_size_or_no_axes(self, shape):
        assert unpack(pack(np.zeros(shape, np.float32))).shape == shape

    def test_bytes_are_little_endian_rows_first(self):
        array = pack(np.array([[1, 2], [3, 4]], ">i2").T)
        assert (array.dtype, array.shape, array.data) == ("int16", (2, 2), b"\1\0\3\0\2\0\4\0")

    def test_packing_copies_and_unpacking_does_not(self):
        array = np.ones(3)
        packed = pack(array)
        array[:] = 2
        assert unpack(packed).tolist() == [1, 1, 1]
        assert not unpack(packed).flags.writeable

    @pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.array(["2026"], "M8[Y]")])
    def test_only_numbers_travel(self, array):
        with pytest.raises(FlowerError, match="does not travel"):
            pack(array)

    @pytest.mark.parametrize(
        ("array", "sentence"),
        [
            (Array(np.ones(3)), "came as 'numpy.ndarray'"),
            (Array("float32", (3,), STYPE, b"\0" * 11), "came with 11 bytes"),
            (Array("float32", (4,), STYPE, b"\0" * 12), "came with 12 bytes"),
            (Array("object", (1,), STYPE, b"\0" * 8), "array of object"),
            (Array("float33", (1,), STYPE, b"\0" * 4), "array of float33"),
        ],
    )
    def test_what_was_not_packed_here_is_refused(self, array, sentence):
        with pytest.raises(FlowerError, match=sentence):
            unpack(array)


class TestInProcess:
    @pytest.mark.parametrize("clients", [1, 2, 7])
    def test_clients_keep_their_state(self, clients):
        assert set(run_count(in_process, clients, rounds=4)["pids"]) == {os.getpid()}

    def test_nodes_are_called_in_order_whatever_the_order_of_messages(self):
        called = []
        client = counter.ClientApp()

        @client.query()
        def note(message, context):
            called.append((context.node_id, context.node_config["partition-id"]))
            return Message(RecordDict(), reply_to=message)

        def server(grid, context):
            ids = list(grid.get_node_ids())
            sent = [Message(RecordDict(), node, "query") for node in reversed(ids)]
            answers = exchange(grid, sent)
            assert [answer.metadata.src_node_id for answer in answers] == ids[::-1]
            assert [answer.metadata.reply_to_message_id for answer in answers] == [
                message.metadata.message_id for message in sent
            ]

        in_process(server, client, 3)
        assert called == [(FIRST_NODE_ID + node, node) for node in range(3)]

    def test_an_exception_of_a_client_is_an_answer(self):
        grid = DirectGrid(counter.client, 3)
        with server_identity():
            (answer,) = grid.send_and_receive([Message(RecordDict(), FIRST_NODE_ID + 2, "evaluate")])
            assert answer.has_error()
            assert answer.error.reason == "<class 'ArithmeticError'>:<'client 2 cannot count'>"
            with pytest.raises(FlowerError, match=f"node {FIRST_NODE_ID} answered with an error: .*client 0 cannot"):
                ask(grid, "evaluate")

    def test_an_answer_that_is_none_is_an_error(self):
        client = counter.ClientApp()
        client.query()(lambda message, context: None)
        with server_identity(), pytest.raises(FlowerError, match="the ClientApp returned None instead of a Message"):
            ask(DirectGrid(client, 3), "query")

    def test_answers_are_given_once(self):
        grid = DirectGrid(counter.client, 1)
        with server_identity():
            ids = grid.push_messages([Message(RecordDict(), FIRST_NODE_ID, "query")])
        assert len(grid.pull_messages(ids)) == 1
        assert grid.pull_messages(ids) == []

    def test_a_message_to_nobody_is_refused_before_any_is_delivered(self):
        grid = DirectGrid(counter.client, 2)
        sent = counter.to_each
        with server_identity():
            with pytest.raises(FlowerError, match="node 99 is not in this network; its nodes are 2 to 3"):
                grid.push_messages(sent([FIRST_NODE_ID, 99], [np.ones(1)] * 2))
            (answer,) = grid.send_and_receive(sent([FIRST_NODE_ID], [np.ones(1)]))
        assert answer.content["count"]["calls"] == 1

    def test_what_the_server_raises_comes_out_and_its_identity_ends(self):
        def server(grid, context):
            assert TaskIdentity.node_id != 17
            raise ArithmeticError("the server cannot count")

        before = dict(vars(TaskIdentity))
        TaskIdentity.node_id = 17
        try:
            with pytest.raises(ArithmeticError, match="the server cannot count"):
                in_process(server, counter.client, 2)
            assert TaskIdentity.node_id == 17
        finally:
            TaskIdentity._node_id = before["_node_id"]
        assert dict(vars(TaskIdentity)) == before

    @pytest.mark.parametrize("run", [in_process, over_ray])
    def test_a_network_needs_clients(self, run):
        with pytest.raises(FlowerError, match="a network of 0 clients cannot be run"):
            run(lambda grid, context: None, counter.client, 0)

    def test_nodes_that_do_not_come_are_not_waited_for_forever(self):
        with pytest.raises(FlowerError, match=r"3 nodes joined within 0\.2 s; the network has 4"):
            node_ids(DirectGrid(counter.client, 3), 4, seconds=0.2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ray leaves its log files open
class TestOverRay:
    @pytest.fixture(autouse=True)
    def _ray(self):
        pytest.importorskip("ray")
        yield
        gc.collect()  # so that they are closed here, and warn here

    def test_clients_keep_their_state_in_other_processes_which_are_gone_afterwards(self):
        environment, on_sigterm = dict(os.environ), signal.getsignal(signal.SIGTERM)
        pids = set(run_count(over_ray, 3, rounds=3)["pids"])
        assert os.getpid() not in pids
        # Ray's processes end by themselves once they see that it has ended: up to 3 s later on a busy machine.
        wait_for(lambda: not [pid for pid in pids if alive(pid)], 15)
        assert dict(os.environ) == environment
        assert signal.getsignal(signal.SIGTERM) == on_sigterm

    def test_what_client_and_server_raise_comes_out(self):
        def server(grid, context):
            with pytest.raises(FlowerError, match=r"client . cannot count"):
                ask(grid, "evaluate")
            raise ArithmeticError("the server cannot count")

        with pytest.raises(ArithmeticError, match="the server cannot count"):
            over_ray(server, counter.client, 3)


@pytest.mark.slow
class TestDeployment:
    @pytest.fixture(autouse=True)
    def _nothing_left(self, tmp_path):
        yield
        left = processes_of(tmp_path)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left

    def test_clients_keep_their_state_each_in_a_process_of_its_own(self, tmp_path, monkeypatch):
        for name in ("HTTPS_PROXY", "https_proxy"):  # which no message may take
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        words = "a \"b\" 'c' \\n \n\t = # é 雪 \x7f 7 true"
        polls = []
        outcome = deploy(tmp_path, 3, 3, on_poll=lambda: polls.append(processes_of(tmp_path)), words=words)
        assert outcome["totals"] == counter.expected(3, 3)
        assert outcome["calls"] == [3] * 3
        assert len({os.getpid(), outcome["pid"], *outcome["pids"]}) == 5
        # Neither a Python for each message, nor any process but those that were started: 1 + 1 + 3 + 3.
        assert len(polls[-1]) <= 8
        assert len(set().union(*polls)) <= 8
        keys = list((tmp_path / "keys").iterdir())
        assert len(keys) == 4 + 2 * 3
        assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
        assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700

    def test_what_the_server_raises_is_told(self, tmp_path):
        with pytest.raises(FlowerError, match=r"server failed \(exit status 1\)(.|\n)*the server cannot count"):
            deploy(tmp_path, 1, 1, fails="yes")

    def test_what_a_client_raises_is_told(self, tmp_path):
        with pytest.raises(FlowerError, match=r"answered with an error(.|\n)*the client cannot count"):
            deploy(tmp_path, 1, 1, **{"client-fails": "yes"})
        assert "the client cannot count" in (tmp_path / "logs" / "client-0.log").read_text()

    @pytest.mark.parametrize("role", ["supernode", "superlink", "client"])
    def test_a_killed_process_ends_the_run(self, tmp_path, role):
        killed, polls_after = [], []

        def kill():
            if killed:
                polls_after.append(killed)
            elif (tmp_path / "out.started").exists():
                pid = next(pid for pid, words in processes_of(tmp_path).items() if f" {role} " in words)
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        with pytest.raises(FlowerError, match=rf"{role}\S* ended \(signal SIGKILL\) in the middle of the run"):
            deploy(tmp_path, 2, 10**6, on_poll=kill)
        assert len(killed) == 1
        assert len(polls_after) < 20
        assert processes_of(tmp_path) == {}

    def test_an_interrupt_ends_the_run(self, tmp_path):
        def interrupt():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            deploy(tmp_path, 1, 10**6, on_poll=interrupt)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_our_own_end_is_the_end_of_all(self, tmp_path, number):
        words = "import sys, pathlib, test_flower_runtimes as here; here.deploy(pathlib.Path(sys.argv[1]), 1, 10**6)"
        command = [sys.executable, "-W", "ignore", "-c", words, str(tmp_path)]
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as run:
            wait_for(lambda: (tmp_path / "out.started").exists(), 90)
            run.send_signal(number)
            assert run.wait(5) == (143 if number == signal.SIGTERM else -9)
        wait_for(lambda: not processes_of(tmp_path), 2)

    @pytest.mark.parametrize(
        ("server", "client", "sentence"),
        [
            ("no_such_module:server", "flower_counter:client", "No module named 'no_such_module'"),
            ("flower_counter:server", "flower_counter:server", "flower_counter:server is no ClientApp"),
        ],
    )
    def test_an_app_that_is_not_there_is_told(self, tmp_path, server, client, sentence):
        with pytest.raises(FlowerError, match=rf"(?s)ended \(exit status 1\) in the middle of the run.*{sentence}"):
            deployed(server, client, 1, {}, tmp_path)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("server", "flower_counter:client", 1, {}), "an app is given as 'module:attribute', not as 'server'"),
            (("a:b", "a:", 1, {}), "not as 'a:'"),
            (("a:b", "a:b", 0, {}), "a network of 0 clients"),
            (("a:b", "a:b", 1, {"a.b": ""}), "unlike 'a.b'"),
        ],
    )
    def test_what_cannot_be_deployed_is_refused(self, tmp_path, arguments, sentence):
        with pytest.raises(FlowerError, match=re.escape(sentence)):
            deployed(*arguments, tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    """A SuperLink with one registered key, and nobody there yet."""
    folder = tmp_path_factory.mktemp("deployment")
    with superlink(folder, 1, free_ports(1)[0]) as deployment:
        deployment.wait(lambda: answers(deployment), 60, "the SuperLink did not answer")
        deployment.submit("flower_counter:server", "flower_counter:client", {})
        yield deployment
    assert processes_of(folder) == {}


@pytest.mark.slow
class TestWhoMayJoin:
    def refused(self, deployment, sentence, key, **changes):
        with Processes(deployment.folder / "logs", deployment.processes.environment) as alone:
            other = replace(deployment, processes=alone, **changes)
            other.start_node(7, free_ports(1)[0], key)
            with pytest.raises(FlowerError, match=rf"(?s)supernode-7 failed \(exit status 1\).*{sentence}"):
                other.wait(lambda: alone.ended("supernode-7"), 60, "nobody refused")

    def test_a_node_without_a_key_is_refused(self, deployment):
        self.refused(deployment, "All SuperNodes must be registered", None)

    def test_a_node_with_a_key_that_is_not_registered_is_refused(self, deployment, tmp_path):
        private, _ = make_pair(tmp_path, "stranger")
        self.refused(deployment, "activat", private)

    def test_a_node_refuses_a_server_that_another_authority_speaks_for(self, deployment, tmp_path):
        self.refused(deployment, "certificate verify failed", deployment.keys.nodes[0], keys=make_keys(tmp_path, 1))

    def test_nobody_is_answered_without_tls(self, deployment):
        with pytest.raises(OSError, match=r"."), urlopen(f"http://{deployment.address}/health", timeout=5):
            pass

    def test_a_task_is_not_given_without_the_secret(self, deployment, tmp_path):
        (tmp_path / "secret").write_bytes(b"guessed")
        keys = replace(deployment.keys, secret=tmp_path / "secret")
        with Processes(deployment.folder / "logs", deployment.processes.environment) as alone:
            other = replace(deployment, processes=alone, keys=keys)
            other.start_server("flower_counter:server")
            with pytest.raises(FlowerError, match=r"(?s)server failed \(exit status 1\).*401 Unauthorized"):
                other.wait(lambda: alone.ended("server"), 60, "nobody refused")


class TestEnvironment:
    @pytest.mark.parametrize(
        ("first", "wish"),
        [
            ("rewindnet.simulator.transports.flower.runtimes", None),
            ("flwr.supercore.telemetry", None),
            ("flwr.supercore.telemetry", "1"),
        ],
    )
    def test_flower_sends_nothing_home_unless_told_to(self, first, wish):
        words = "import importlib, sys; importlib.import_module(sys.argv[1]); "
        words += "import rewindnet.simulator.transports.flower.runtimes; "
        words += "import flwr.supercore.telemetry as telemetry; print(telemetry.FLWR_TELEMETRY_ENABLED)"
        environment = {name: value for name, value in os.environ.items() if name not in QUIET}
        environment |= {} if wish is None else {"FLWR_TELEMETRY_ENABLED": wish}
        said = subprocess.run(
            [sys.executable, "-c", words, first], env=environment, capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == [wish or "0"]

    def test_ours_is_settled(self):
        assert all(name in os.environ for name in QUIET)


#: What is used of Flower beyond what it documents: module, attribute, and arguments that must be there.
PRIVATE = [
    ("flwr.common.constant", "PARTITION_ID_KEY", ()),
    ("flwr.common.constant", "NUM_PARTITIONS_KEY", ()),
    ("flwr.common.constant", "SUPERLINK_NODE_ID", ()),
    ("flwr.common.constant", "ErrorCode.CLIENT_APP_RAISED_EXCEPTION", ()),
    ("flwr.common.constant", "SubStatus.COMPLETED", ()),
    ("flwr.common.constant", "SubStatus.FAILED", ()),
    ("flwr.cli.app", "app", ()),
    ("flwr.proto.runtime_pb2", "AcquireTaskRequest", ()),
    ("flwr.supercore.constant", "TaskType.CLIENT_APP", ()),
    ("flwr.supercore.constant", "TaskType.SERVER_APP", ()),
    ("flwr.supercore.heartbeat", "HeartbeatSender", ("heartbeat_fn",)),
    ("flwr.supercore.heartbeat", "make_task_heartbeat_fn_http", ("client",)),
    ("flwr.supercore.inflatable.inflatable_utils", "pull_objects", ("initial_backoff", "backoff_cap")),
    (
        "flwr.supercore.inflatable.inflatable_utils",
        "pull_and_inflate_object_from_tree",
        ("initial_backoff", "backoff_cap"),
    ),
    ("flwr.supercore.interceptors", "RuntimeTokenHttpInterceptor", ("token",)),
    ("flwr.supercore.interceptors", "RuntimeVersionHttpInterceptor", ("component_name",)),
    ("flwr.supercore.interceptors", "SuperExecAuthHttpInterceptor", ("master_secret", "protected_methods")),
    ("flwr.supercore.run", "Run.create_empty", ("run_id",)),
    ("flwr.supercore.runtime", "RuntimeHttpClient.AcquireTask", ("request",)),
    (
        "flwr.supercore.runtime",
        "RuntimeHttpClient.from_server_address",
        ("server_address", "insecure", "root_certificates", "interceptors"),
    ),
    ("flwr.supercore.task_identity", "TaskIdentity._run_id", ()),
    ("flwr.supercore.task_identity", "TaskIdentity._task_id", ()),
    ("flwr.supercore.task_identity", "TaskIdentity._node_id", ()),
    ("flwr.supercore.telemetry", "FLWR_TELEMETRY_ENABLED", ()),
    ("flwr.superlink.cli", "flower_superlink", ()),
    ("flwr.superlink.grid", "InMemoryGrid", ("pull_interval",)),
    (
        "flwr.superlink.runtime",
        "run_serverapp",
        ("runtime_api_address", "log_queue", "token", "insecure", "certificates"),
    ),
    ("flwr.supernode.cli", "flower_supernode", ()),
    ("flwr.supernode.runtime.run_clientapp", "pull_task_input", ("client",)),
    ("flwr.supernode.runtime.run_clientapp", "push_message", ("client", "message", "context")),
    ("flwr.supernode.runtime.run_clientapp", "push_task_output", ("client", "context", "sub_status", "details")),
    ("flwr.supernode.start_client_internal", "time.sleep", ()),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the command line of Flower is full of them
@pytest.mark.parametrize(("module", "attribute", "arguments"), PRIVATE, ids=[name for _, name, _ in PRIVATE])
def test_flower_still_has_what_it_does_not_promise_to_keep(module, attribute, arguments):
    complaint = f"flwr {version('flwr')} has no {module}.{attribute}{arguments or ''}, which transports/flower uses"
    found = importlib.import_module(module)
    for name in attribute.split("."):
        assert hasattr(found, name), complaint
        found = getattr(found, name)
    if arguments:
        assert set(arguments) <= set(inspect.signature(found).parameters), complaint


def test_a_supernode_pauses_longer_the_longer_it_has_no_message(monkeypatch):
    """Flower's long sleep, for which there is no message, becomes a growing pause, and its short one a short pause."""
    internal = importlib.import_module("flwr.supernode.start_client_internal")
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    def flower():
        for asked in (3, 3, *[3] * 60, 0.5, 3):
            internal.time.sleep(asked)

    monkeypatch.setattr(internal, "time", internal.time)  # and back again
    monkeypatch.setattr("flwr.supernode.cli.flower_supernode", flower)
    monkeypatch.setattr(service, "shorten_pulls", lambda: None)
    monkeypatch.setattr(sys, "argv", [])
    for module in (service, patience):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: now[0]))
    service.supernode("--isolation")
    assert sys.argv == ["flower-supernode", "--isolation"]
    first, *longer, short, again = slept
    assert first == again == 0.01
    assert longer == sorted(longer)
    assert longer[-1] == 0.25
    assert short == 0.02
