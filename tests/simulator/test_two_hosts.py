"""A run spread over two hosts: network namespaces that a single link joins, with a rank in each."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from runs import run_through

from rewindnet.experiments.folder.format import read_record, state
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.transports.mpi.division import divide_nodes

ROOT = Path(__file__).parents[2]
BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.is_file() else shutil.which("mpiexec")
#: What the interface is called, and which address it has, in either namespace; no other can see them.
LINK, ADDRESSES = "between", ("192.0.2.1", "192.0.2.2")
SCENARIO = {
    "data": {"source": "digits", "features": "unit-norm"},
    "partition": {"kind": "iid", "clients": 12},
    "topology": {"kind": "erdos-renyi", "p": 0.3},
    "learning": {"rounds": 300},
    "deletion": {"samples": 10},
    "unlearning": [{"method": "r2d", "rewind": 0.5}],
    "backend": {"precision": "exact", "threads": 1},
}
#: Seconds that a run may take, and that a broken one may take to end.
PATIENCE, GRACE = 180, 30

pytestmark = pytest.mark.slow


class Hosts:
    """Two namespaces, and jobs with a rank in each."""

    def __init__(self, names: tuple[str, str], folder: Path) -> None:
        self.names, self.out, self._said = names, folder / "out", folder / "said"
        self._scenario = folder / "scenario.yaml"
        self._scenario.write_text(json.dumps(SCENARIO))

    def sent(self) -> np.ndarray:
        """The bytes [2] that each has put on the link so far."""
        links = (json.loads(ip("-n", name, "-s", "-j", "link", "show", LINK))[0] for name in self.names)
        return np.array([link["stats64"]["tx"]["bytes"] for link in links])

    @contextmanager
    def job(self) -> Iterator["subprocess.Popen[bytes]"]:
        """The scenario, started on both from the first, as a user would."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            # Namespaces share the memory of one machine, and UCX would go round the link by it. An MPICH that was
            # built with libfabric goes by the other variable.
            "UCX_TLS": "tcp,self",
            "FI_PROVIDER": "tcp",
        }
        hosts = ("-hosts", ",".join(self.names), "-localhost", ADDRESSES[0])
        launcher = ("-launcher", "ssh", "-launcher-exec", str(ROOT / "tests/support/two_hosts_ssh.sh"))
        run = ("-m", "mpi4py", "-m", "rewindnet", "run", str(self._scenario), "backend.kind=mpi")
        command = (str(MPIEXEC), *hosts, *launcher, "-n", "2", sys.executable, *run, "--out", str(self.out))
        with self._said.open("wb") as said:
            job = subprocess.Popen(
                ["ip", "netns", "exec", self.names[0], *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        try:
            yield job
        finally:
            job.kill()
            job.wait()

    def run(self) -> RunFolder:
        """The folder of a job that ran to its end."""
        with self.job() as job:
            assert job.wait(PATIENCE) == 0, self._said.read_text()
        return read_folder(self.out)

    def rounds(self) -> int:
        """How many rounds the job has recorded so far."""
        lines = self.out / "metrics.jsonl"
        return len(lines.read_bytes().splitlines()) if lines.is_file() else 0

    def become_empty(self) -> None:
        """Wait until nothing of an ended job is left on either."""
        give_up = time.monotonic() + GRACE
        while left := [process for name in self.names for process in processes(name)]:
            assert time.monotonic() < give_up, left
            time.sleep(0.02)

    def wait(self, done: Callable[[], bool], job: "subprocess.Popen[bytes]") -> None:
        """Until it is done, which must be before the job has ended."""
        give_up = time.monotonic() + PATIENCE
        while not done():
            assert job.poll() is None, self._said.read_text()
            assert time.monotonic() < give_up
            time.sleep(0.02)


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def processes(namespace: str) -> list[int]:
    return [int(number) for number in ip("netns", "pids", namespace).split()]


def is_rank(process: int) -> bool:
    """Whether it is a rank, rather than one of the launcher's processes."""
    return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0] == sys.executable.encode()


def kill(these: list[int]) -> None:
    for process in these:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def empty(namespace: str) -> None:
    """Kill what runs in a namespace, also what is started meanwhile."""
    give_up = time.monotonic() + PATIENCE
    while these := processes(namespace):
        assert time.monotonic() < give_up
        kill(these)
        time.sleep(0.02)


def obstacle() -> str | None:
    """Why there cannot be two hosts here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can make network namespaces"
    if shutil.which("ip") is None:
        return "there is no ip; it comes with iproute2"
    if MPIEXEC is None:
        return "there is no mpiexec"
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True, check=False).stdout
    return None if "HYDRA" in version else f"{MPIEXEC} is not MPICH's, whose options for hosts are used"


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    if reason := obstacle():
        pytest.skip(reason)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    first, second = (f"rewindnet-{os.getpid()}-{host}" for host in "ab")
    with ExitStack() as stack:
        for name in (first, second):
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as problem:
                pytest.skip(f"network namespaces are not permitted here: {problem.stderr.strip()}")
            stack.callback(ip, "netns", "del", name)
            stack.callback(empty, name)
        ip("link", "add", LINK, "netns", first, "type", "veth", "peer", "name", LINK, "netns", second)
        for name, address in zip((first, second), ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", LINK)
            ip("-n", name, "link", "set", LINK, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield Hosts((first, second), tmp_path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same run in this process."""
    return run_through(SCENARIO, tmp_path_factory.mktemp("alone") / "out")


def cut(run: RunFolder) -> np.ndarray:
    """The bytes [2] that rounds bring from either host to the other: each row once, however many hear it there."""
    W = build_run(resolve(SCENARIO)).network.mixing.matrix(0)
    owner = divide_nodes(W, 2)
    rows = {(owner[j], j) for i, j in zip(*W.nonzero(), strict=True) if owner[i] != owner[j]}
    rounds = sum(1 for _ in run.metrics_lines())
    message = json.loads((run.path / "traffic.json").read_text())["message_bytes"]
    return np.bincount([host for host, _ in rows], minlength=2) * rounds * message


def test_two_hosts_compute_the_same_bits_and_send_what_is_cut(hosts: Hosts, alone: RunFolder) -> None:
    before = hosts.sent()
    run = hosts.run()
    sent, owed = hosts.sent() - before, cut(alone)
    assert run.record["sha256"] == alone.record["sha256"]
    assert (sent >= owed).all()
    # The second also sends the first, which writes the folder, what is to be recorded.
    assert sent[0] <= 1.1 * owed[0]


@pytest.mark.parametrize("lost", ["rank", "host"])
def test_a_run_that_loses_a_host_ends_and_is_gone_on_with(hosts: Hosts, alone: RunFolder, lost: str) -> None:
    with hosts.job() as job:
        hosts.wait(lambda: hosts.rounds() > 100, job)
        kill([process for process in processes(hosts.names[1]) if lost == "host" or is_rank(process)])
        assert job.wait(GRACE) != 0
    hosts.become_empty()
    assert state(hosts.out) == "incomplete"
    assert hosts.run().record["sha256"] == alone.record["sha256"]
    assert read_record(hosts.out)["resumed"]


def test_a_link_that_fails_for_a_moment_delays_a_run_and_changes_nothing(hosts: Hosts, alone: RunFolder) -> None:
    with hosts.job() as job:
        hosts.wait(lambda: hosts.rounds() > 100, job)
        ip("-n", hosts.names[1], "link", "set", LINK, "down")
        done = hosts.rounds()
        time.sleep(1)
        stuck = hosts.rounds()
        ip("-n", hosts.names[1], "link", "set", LINK, "up")
        assert job.wait(PATIENCE) == 0
    # The first may finish the round it is in, and one more if the second was ahead of it.
    assert stuck <= done + 2
    assert read_folder(hosts.out).record["sha256"] == alone.record["sha256"]
