"""MPI: a block of nodes on every rank of a job that mpiexec starts, here or by hand."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import IO

from rewindnet.clients.training.parallel import processors, use_threads
from rewindnet.simulator.errors import BrokenTransportError, MachineError, RunError, TransportError
from rewindnet.simulator.signals import terminable
from rewindnet.simulator.transports.base import Job, Transport, open_job
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.mpi.ranks import rank, ranks
from rewindnet.simulator.transports.stopped import children, is_stopped

#: How a sentence for the user begins.
_OWN = "rewindnet: "
#: How it begins where the machine has failed.
_MACHINE = "rewindnet, machine: "

#: Seconds between two looks at processes that are being waited for.
_PATIENCE = 0.1
#: Seconds that ranks are given to end after SIGTERM.
_GRACE = 5.0
#: Seconds that a rank may be stopped by a signal before the run is given up.
PATIENCE_WITH_STOPPED = 10.0
#: On one machine no rank need be reached from others. What the user's environment says of these holds.
_LOOPBACK = {"HYDRA_IFACE": "lo", "UCX_NET_DEVICES": "lo", "FI_TCP_IFACE": "lo", "OMPI_MCA_btl_tcp_if_include": "lo"}
#: Where these are set, ranks may be on other machines.
_HOSTS = ("HYDRA_HOST_FILE", "HYDRA_RMK", "OMPI_MCA_orte_default_hostfile", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


class Mpi(Transport):
    """Processes that mpiexec starts, each with a block of the nodes; only what crosses a block's edge is sent.

    Args:
        ranks: how many; by default as many as mpiexec has started, or else as there are processors.
        gpu_direct: hand memory of a GPU to MPI, which must be built for it; messages go through the host otherwise.

    Raises:
        TransportError: if that is no number of processes.
    """

    def __init__(self, *, ranks: int | None = None, gpu_direct: bool = False) -> None:
        if ranks is not None and ranks < 1:
            raise TransportError(f"backend.ranks is a number of processes, not {ranks}")
        self._ranks, self._gpu_direct = ranks, gpu_direct

    def check(self, nodes: int) -> None:
        """Refuse fewer nodes than ranks, and another number of ranks than mpiexec has started."""
        started, wanted = ranks(), self._wanted(nodes)
        if started and wanted != started:
            raise TransportError(f"mpiexec started {started} processes, but backend.ranks is {wanted}")
        if wanted > nodes:
            raise TransportError(f"backend.ranks is {wanted}, but there are only {nodes} nodes to share among them")
        if started is None:
            _mpiexec()

    def execute(self, job: Job) -> None:
        """Run the job in this process if mpiexec started it, or else in processes that mpiexec starts now."""
        self.check(job.nodes)
        if ranks() is None:
            _launch(job, self._wanted(job.nodes), self._gpu_direct)
        else:
            _take_part(job, self._gpu_direct)

    def _wanted(self, nodes: int) -> int:
        return self._ranks or ranks() or min(processors(), nodes)


def join() -> None:
    """Become a rank, if mpiexec started this process: from here on the end of one rank is the end of all."""
    if ranks() is not None:
        # Importing it is what begins MPI.
        import mpi4py.MPI  # noqa: F401


def _take_part(job: Job, gpu_direct: bool) -> None:
    from rewindnet.simulator.transports.mpi.wire import Ranks

    wire = Ranks(job.weights, job.precision, gpu_direct=gpu_direct)
    if job.threads is None:
        use_threads(max(1, processors() // wire.ranks_on_machine))
    job.run(WorkerNetwork(job.worker(wire.nodes, wire.rank_on_machine), wire))


def _launch(job: Job, wanted: int, gpu_direct: bool) -> None:
    description = job.scratch / "job.json"
    description.write_text(job.description, "utf-8")
    # -P: what lies in the current folder is not to be imported in place of what was installed.
    module = ["-P", "-m", "mpi4py", "-m", "rewindnet.simulator.transports.mpi.mpiexec"]
    worker = [*module, job.opener, str(description), str(int(gpu_direct))]
    with TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [_mpiexec(), "-n", str(wanted), sys.executable, *worker],
            env={**({} if any(name in os.environ for name in _HOSTS) else _LOOPBACK), **os.environ},
            # Its end tells the ranks of the end of this process, however that comes about.
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            with terminable():
                stopped = _Stopped(process.pid)
                while _running(process):
                    stopped.check()
                    job.wait()
        except BaseException:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            # A rank that is stopped takes no SIGTERM.
            for pid in (*children(process.pid), process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            assert process.stdin is not None
            process.stdin.close()
        if process.returncode:
            raise _complaint(output, process.returncode)


class _Stopped:
    """Looks, now and then, whether a rank has been stopped by a signal for too long."""

    def __init__(self, mpiexec: int) -> None:
        self._mpiexec, self._next, self._since = mpiexec, 0.0, float("inf")

    def check(self) -> None:
        """Raise an error if a rank has been stopped for too long."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1.0
        stopped = any(is_stopped(pid) for pid in children(self._mpiexec))
        self._since = min(self._since, now) if stopped else float("inf")
        if now - self._since > PATIENCE_WITH_STOPPED:
            raise BrokenTransportError(
                f"a rank was stopped by a signal, and did not go on within {PATIENCE_WITH_STOPPED:g} s"
            )


def _running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        return True
    return False


def _mpiexec() -> str:
    """Return the launcher: the one beside this interpreter, or else on the path."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.is_file() else shutil.which("mpiexec")
    if launcher is None:
        raise TransportError("there is no mpiexec; install an MPI, for example with: pip install 'rewindnet[mpi]'")
    return launcher


def _complaint(output: IO[str], code: int) -> Exception:
    """Return what was wrong: the program's own sentence, the last line of a traceback, or that a process was killed."""
    output.seek(0)
    lines = [line.strip() for line in output.read().splitlines() if line.strip()]
    for begins, error in ((_OWN, RunError), (_MACHINE, MachineError)):
        own = [line.removeprefix(begins) for line in lines if line.startswith(begins)]
        if own:
            return error(own[0])
    raised = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception", "Interrupt"))]
    killed = [line for line in lines if "KILLED" in line or "signal" in line.lower()]
    return BrokenTransportError(f"MPI ended with exit code {code}: {next(iter(raised or killed or lines), 'no word')}")


def main(opener: str, description: str, gpu_direct: str) -> None:
    """Run one rank of the job. `_launch` starts it as `python -m mpi4py -m THIS_MODULE OPENER FILE 0|1`."""
    join()
    if rank() == 0:
        Thread(target=_end_with_parent, daemon=True).start()
    job = open_job(opener, Path(description).read_text("utf-8"))
    try:
        _take_part(job, bool(int(gpu_direct)))
    except RunError as problem:
        sys.exit(f"{_MACHINE if isinstance(problem, MachineError) else _OWN}{problem}")


def _end_with_parent() -> None:
    """End the job when the process that started mpiexec is gone: mpiexec passes its standard input on to rank 0."""
    if not os.read(0, 1):
        from mpi4py import MPI

        MPI.COMM_WORLD.Abort(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
