"""A run as a job that a transport executes, in this process or in others."""

import json
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from scipy.sparse import csr_array

from rewindnet.certificates import CertificateError
from rewindnet.clients.worker import ClientWorker
from rewindnet.errors import Notice
from rewindnet.experiments.folder.reader import FolderError
from rewindnet.experiments.folder.recorder import Recorder
from rewindnet.experiments.folder.replacement import place_of
from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.runs.run import run
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.inputs import changed_input, recorded_inputs
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.simulator.errors import MachineError, RunError, machine_failure
from rewindnet.simulator.transports.base import Job
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.wire import Precision


class RunJob(Job):
    """A run, as a `Job` for a transport.

    Args:
        setup: the run.
        folder: the run folder.
        force: take the place of an earlier run in the folder.
        scratch: a folder for messages to other processes; it must exist until they have ended.
        progress: is notified of every phase and round.
        command: the command to record; the command line of this process by default.
        shared: where the states of learning are shared with other runs.
    """

    opener = "rewindnet.experiments.runs.job:open_job"

    def __init__(
        self,
        setup: RunSetup,
        folder: Path,
        force: bool,
        scratch: Path,
        progress: Progress | None = None,
        command: Sequence[str] | None = None,
        shared: SharedLearning | None = None,
    ) -> None:
        self.setup = setup if shared is None else replace(setup, shared_rounds=shared.rounds)
        self.folder, self._force, self.scratch, self._shared = folder, force, scratch, shared
        self.nodes = setup.network.mixing.nodes
        self.weights: csr_array = setup.network.mixing.weights
        self.precision: Precision = setup.scenario.backend.precision
        self.threads = setup.scenario.backend.threads
        self.command = [Path(sys.argv[0]).name, *sys.argv[1:]] if command is None else list(command)
        self._progress = progress or Progress()
        self._follower = _Follower(place_of(folder, force) / "metrics.jsonl", self._progress)

    def worker(self, nodes: Sequence[int], rank_on_machine: int = 0) -> ClientWorker:
        """Make the clients at some nodes, on the device that this process uses.

        Args:
            nodes: the nodes, increasing.
            rank_on_machine: the rank of this process among those on its machine.
        """
        return self.setup.worker(nodes, device_of(self.setup.scenario.backend.device, rank_on_machine))

    def run(self, network: Network) -> None:
        """Execute the run on a network, in this process.

        Raises:
            RunError: if a method has no plan after learning, or the folder cannot be written.
            MachineError: if there is no room or no memory; the same command goes on with the run.
        """
        try:
            folder = self.folder if network.root else None
            recording = Recorder(folder, self.setup.network, self._force, self.command, self._shared)
            with closing(recording) as recorder:
                run(self.setup, network, recorder, self._progress if network.root else None)
        except (CertificateError, FolderError, ScenarioError) as problem:
            raise RunError(f"the run in {self.folder} failed: {problem}") from None
        except (OSError, MemoryError, RuntimeError) as problem:
            failure = machine_failure(problem)
            if failure is not None:
                raise MachineError(
                    f"the run in {self.folder} failed: {failure}; the same command goes on with it"
                ) from None
            if isinstance(problem, OSError):
                raise RunError(f"the run in {self.folder} failed: {problem}") from None
            raise

    @property
    def description(self) -> str:
        """The text from which `open_job` makes the same job in another process."""
        return json.dumps(
            {
                "scenario": self.setup.scenario.plain(),
                "folder": str(self.folder.resolve()),
                "force": self._force,
                "scratch": str(self.scratch),
                "command": list(self.command),
                "shared": None if self._shared is None else self._shared.to_record(),
                "inputs": {key: file.to_record() for key, file in self.setup.network.inputs.items()},
            }
        )

    def wait(self) -> None:
        """Update the progress display with what other processes have done."""
        self._follower.update()


def open_job(description: str) -> RunJob:
    """Make the job of a description, in a process that was started for it.

    Raises:
        RunError: if a file that the scenario reads has another content here than where the run was started.
    """
    content = json.loads(description)
    with warnings.catch_warnings():
        # The process that was started by the user has shown them.
        warnings.simplefilter("ignore", Notice)
        setup = build_run(resolve(content["scenario"]))
    changed = changed_input(recorded_inputs(content), setup.network.inputs)
    if changed:
        raise RunError(f"the processes of this run do not read the same data ({changed})")
    folder, scratch = Path(content["folder"]), Path(content["scratch"])
    shared = None if content["shared"] is None else SharedLearning.from_record(content["shared"])
    return RunJob(setup, folder, content["force"], scratch, command=content["command"], shared=shared)


def open_scenario(command: str) -> RunJob:
    """Make the job of a command line, `SCENARIO.yaml [key=value …]`, for `flwr run`.

    The run folder is runs/<name>.

    Raises:
        ScenarioError: if the scenario is not valid, or its run folder holds something else.
    """
    path, *settings = shlex.split(command)
    scenario = load(Path(path), settings)
    folder = Path("runs") / scenario.name
    check_target(folder, scenario, force=False)
    return RunJob(build_run(scenario), folder, False, folder)


class _Follower:
    """Updates a progress display from the metrics.jsonl that another process writes.

    Args:
        lines: the file.
        progress: the display.
    """

    def __init__(self, lines: Path, progress: Progress) -> None:
        self._lines, self._progress = lines, progress
        self._file, self._read, self._phase = 0, 0, ""

    def update(self) -> None:
        """Advance the display by one round for each new line."""
        for phase in self._new_phases():
            if phase != self._phase:
                self._phase = phase
                self._progress.phase(phase, None)
            self._progress.advance()

    def _new_phases(self) -> Iterator[str]:
        """Read the phase of each new line; the file may be replaced by another one at any time."""
        with suppress(OSError), self._lines.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._file or status.st_size < self._read:
                self._file, self._read = status.st_ino, 0
            file.seek(self._read)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                self._read += len(text)
                with suppress(ValueError, KeyError, TypeError):
                    yield str(json.loads(text)["phase"])
