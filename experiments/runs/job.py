"""A run as the transports see it, in whichever process its parts are worked on."""

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from scipy.sparse import csr_array

from rewindnet.certificates import CertificateError
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.folder.reader import FolderError
from rewindnet.experiments.folder.recorder import Recorder
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.runs.run import run
from rewindnet.experiments.scenario.assemble import Experiment, assemble
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.simulator.errors import RunError
from rewindnet.simulator.transports.base import Job
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.wire import Precision


class RunJob(Job):
    """A run: a `Job` for a transport.

    Args:
        experiment: what is run.
        folder: the run folder; must have passed `check_target`.
        resume: go on with the incomplete run in the folder.
        scratch: a folder for what other processes must be told; it outlives them.
        progress: is told what goes on.
    """

    opener = "rewindnet.experiments.runs.job:open_job"

    def __init__(
        self, experiment: Experiment, folder: Path, resume: bool, scratch: Path, progress: Progress | None = None
    ) -> None:
        self.experiment, self.folder, self._resume, self.scratch = experiment, folder, resume, scratch
        self.nodes = experiment.mixing.nodes
        self.weights: csr_array = experiment.mixing.weights
        self.precision: Precision = experiment.scenario.backend.precision
        self.threads = experiment.scenario.backend.threads
        self.command: Sequence[str] = [Path(sys.argv[0]).name, *sys.argv[1:]]
        self._progress = progress or Progress()
        self._follower = _Follower(self.folder / "metrics.jsonl", self._progress)

    def worker(self, nodes: Sequence[int], rank_on_machine: int = 0) -> ClientWorker:
        """Return the clients at these nodes, on the device for this process of those on its machine."""
        return self.experiment.worker(nodes, device_of(self.experiment.scenario.backend.device, rank_on_machine))

    def run(self, network: Network) -> None:
        """Run it on this network, in this process.

        Raises:
            RunError: if what was learned allows no plan for a method, or the folder cannot be written.
        """
        try:
            folder = self.folder if network.root else None
            with closing(Recorder(folder, self.experiment, self._resume, self.command)) as recorder:
                run(self.experiment, network, recorder, self._progress if network.root else None)
        except (CertificateError, FolderError, ScenarioError, OSError) as problem:
            raise RunError(f"the run in {self.folder} failed: {problem}") from None

    @property
    def description(self) -> str:
        """From which `open_job` makes this very job, in another process."""
        return json.dumps(
            {
                "scenario": self.experiment.scenario.plain(),
                "folder": str(self.folder.resolve()),
                "resume": self._resume,
                "scratch": str(self.scratch),
                "command": list(self.command),
            }
        )

    def wait(self) -> None:
        """Tell the progress display what other processes have done."""
        self._follower.look()


def open_job(description: str) -> RunJob:
    """The job of that description, in a process that another one has started to work on it."""
    told = json.loads(description)
    experiment = assemble(resolve(told["scenario"]))
    job = RunJob(experiment, Path(told["folder"]), told["resume"], Path(told["scratch"]))
    job.command = told["command"]
    return job


def open_scenario(command: str) -> RunJob:
    """The job of a command line, `SCENARIO.yaml [key=value …]`, as `flwr run` is given it; it writes to runs/<name>.

    Raises:
        ScenarioError: if the scenario makes no sense, or its run folder is taken.
    """
    path, *settings = shlex.split(command)
    scenario = load(Path(path), settings)
    folder = Path("runs") / scenario.name
    experiment, resume = assemble(scenario), check_target(folder, scenario, force=False)
    return RunJob(experiment, folder, resume, folder)


class _Follower:
    """Follows a run that other processes work on by the lines that its recorder writes."""

    def __init__(self, lines: Path, progress: Progress) -> None:
        self._lines, self._progress = lines, progress
        self._file, self._read, self._phase = 0, 0, ""

    def look(self) -> None:
        """What is new?"""
        for phase in self._new():
            if phase != self._phase:
                self._phase = phase
                self._progress.phase(phase, None)
            self._progress.advance()

    def _new(self) -> Iterator[str]:
        """The phases of the lines that are new. The file may be replaced by another one at any time."""
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
