"""Rounds of the simulator itself, timed on any transport."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.learning import Descend, InitialModel
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.engine import Callback, execute
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.base import Job
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.wire import Precision

#: The number of rounds that run before the timed ones.
WARM = 2


class BenchJob(Job):
    """Times rounds of learning: a `Job` for a transport.

    Args:
        scenario: the scenario.
        rounds: the number of rounds to time.
        scratch: a folder for messages to other processes and for the result.
    """

    opener = "rewindnet.experiments.bench.rounds:open_job"

    def __init__(self, scenario: Scenario, rounds: int, scratch: Path) -> None:
        self._setup: RunSetup = build_run(scenario)
        self._rounds, self.scratch = rounds, scratch
        self.nodes = self._setup.network.mixing.nodes
        self.weights: csr_array = self._setup.network.mixing.weights
        self.precision: Precision = scenario.backend.precision
        self.threads = scenario.backend.threads

    @property
    def description(self) -> str:
        """The text from which `open_job` makes the same job in another process."""
        scenario = self._setup.scenario.plain()
        return json.dumps({"scenario": scenario, "rounds": self._rounds, "scratch": str(self.scratch)})

    @property
    def _result(self) -> Path:
        return self.scratch / "seconds.json"

    def worker(self, nodes: Sequence[int], rank_on_machine: int = 0) -> ClientWorker:
        """Make the clients at some nodes, on the device that this process uses."""
        return self._setup.worker(nodes, device_of(self._setup.scenario.backend.device, rank_on_machine))

    def run(self, network: Network) -> None:
        """Learn, and write the seconds of every timed round into a file."""
        rounds = range(WARM + self._rounds)
        stopwatch = StopWatch()
        start, learn = InitialModel(self._setup.scenario.seed), Descend(self._setup.network.training_run.order, rounds)
        task = Task("bench", 0, None, (start,), (learn,), 0, frozenset())
        execute(network, task, self._setup.network.mixing, (stopwatch,))
        if network.root:
            self._result.write_text(json.dumps(stopwatch.medians()), "utf-8")

    def wait(self) -> None:
        """Do nothing while other processes work."""

    def seconds(self) -> tuple[float, float]:
        """Read the result: the medians of the wall and CPU seconds of the timed rounds."""
        wall, cpu = json.loads(self._result.read_text("utf-8"))
        return wall, cpu


def open_job(description: str) -> BenchJob:
    """Make the job of a description, in a process that was started for it."""
    content = json.loads(description)
    return BenchJob(resolve(content["scenario"]), content["rounds"], Path(content["scratch"]))


class StopWatch(Callback):
    """Measures the wall and CPU seconds of every round."""

    def __init__(self) -> None:
        self._at = [_now()]

    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """Note the seconds since the last round."""
        self.lap()

    def lap(self) -> None:
        """Note the end of a round."""
        self._at.append(_now())

    def medians(self) -> tuple[float, float]:
        """Return the median wall and CPU seconds of the rounds, without those that only warm up."""
        laps = list(zip(self._at[WARM:-1], self._at[WARM + 1 :], strict=True))
        return median(b[0] - a[0] for a, b in laps), median(b[1] - a[1] for a, b in laps)


def _now() -> tuple[float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter(), process_time()
