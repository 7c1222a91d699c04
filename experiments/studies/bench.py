"""Measure the time of a round on every transport, side by side: the command `rewindnet bench`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rich.table import Table
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.methods.baselines import DoNothing
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.learning import Descend, InitialModel
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.console import Terminal
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.engine import Callback, execute
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.base import Job, Transport
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.wire import Precision

#: The number of rounds that run before the timed ones.
_WARM = 2


@dataclass(frozen=True)
class Contest:
    """Settings whose rounds are timed in turn and compared with the first.

    Attributes:
        title: the title of the table.
        scenario: the scenario that all entries run.
        rounds: the number of rounds that are timed in each repetition.
        entries: the overrides of each entry, by name.
    """

    title: str
    scenario: Mapping[str, Any]
    rounds: int
    entries: Mapping[str, Sequence[str]]


def _learning(nodes: int, dimensions: int, classes: int, samples: int, steps: int) -> dict[str, Any]:
    """Describe a scenario on a regular graph; its model has classes · (dimensions + 1) parameters.

    Args:
        nodes: N.
        dimensions: the number of dimensions of a sample.
        classes: the number of classes.
        samples: the number of samples of each client.
        steps: the number of local steps in a round.
    """
    return {
        "data": {
            "source": "synthetic",
            "samples": nodes * samples * 5 // 4,
            "dimensions": dimensions,
            "classes": classes,
        },
        "partition": {"clients": nodes},
        "topology": {"kind": "random-regular", "degree": min(8, nodes - 2)},
        "learning": {"local_steps": steps, "step_size": 0.1},
        "deletion": {"samples": 1},
        "unlearning": [DoNothing.name],
    }


def _flower(nodes: int) -> Contest:
    """Compare Flower clients in process with Flower clients over Ray."""
    return Contest(
        f"Flower clients: {nodes} nodes, 7,850 parameters, 32 samples a node, one local step",
        _learning(nodes, 784, 10, 32, 1),
        8,
        {
            "in process": ("backend.kind=flower", "backend.runtime=in-process"),
            "over Ray": ("backend.kind=flower", "backend.runtime=ray"),
        },
    )


CONTESTS: Mapping[str, Contest] = {
    "mpi": Contest(
        "100 nodes, 51,250 parameters, 64 samples a node, eight local steps",
        _learning(100, 1024, 50, 64, 8),
        10,
        {
            "one process, one thread": ("backend.kind=in-process", "backend.threads=1"),
            "MPI, 1 rank of one thread": ("backend.kind=mpi", "backend.ranks=1", "backend.threads=1"),
            "MPI, 2 ranks of one thread": ("backend.kind=mpi", "backend.ranks=2", "backend.threads=1"),
            "one process, two threads": ("backend.kind=in-process", "backend.threads=2"),
        },
    ),
    "flower-10": _flower(10),
    "flower-100": _flower(100),
}


class BenchJob(Job):
    """Times rounds of learning: a `Job` for a transport.

    Args:
        scenario: the scenario.
        rounds: the number of rounds to time.
        scratch: a folder for messages to other processes and for the result.
    """

    opener = "rewindnet.experiments.studies.bench:open_job"

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
        rounds = range(_WARM + self._rounds)
        stopwatch = _StopWatch()
        start, learn = InitialModel(0), Descend(self._setup.network.training_run.order, rounds)
        task = Task("bench", 0, None, (start,), (learn,), 0, frozenset())
        execute(network, task, self._setup.network.mixing, (stopwatch,))
        if network.root:
            self._result.write_text(json.dumps(stopwatch.seconds[_WARM:]), "utf-8")

    def wait(self) -> None:
        """Do nothing while other processes work."""

    def seconds(self) -> float:
        """Read the result: the median number of seconds of the timed rounds."""
        rounds: list[float] = json.loads(self._result.read_text("utf-8"))
        return median(rounds)


def open_job(description: str) -> BenchJob:
    """Make the job of a description, in a process that was started for it."""
    content = json.loads(description)
    return BenchJob(resolve(content["scenario"]), content["rounds"], Path(content["scratch"]))


class _StopWatch(Callback):
    """Measures the seconds of every round."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = perf_counter()

    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """Note the seconds since the last round."""
        now = perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def time_contest(contest: Contest, repeats: int, notify: Callable[[str], None]) -> dict[str, list[float]]:
    """Time the rounds of every entry, in turn, several times.

    Args:
        contest: the entries to time.
        repeats: the number of repetitions.
        notify: receives a sentence about what is running.

    Returns:
        For each entry and repetition, the seconds of a round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contest.entries}
    for repetition in range(repeats):
        for name, settings in contest.entries.items():
            notify(f"{name}, {repetition + 1} of {repeats}")
            scenario = resolve(json.loads(json.dumps(contest.scenario)), settings)
            with TemporaryDirectory(prefix="rewindnet-") as scratch:
                job = BenchJob(scenario, contest.rounds, Path(scratch))
                transport: Transport = scenario.backend.build()
                transport.execute(job)
                seconds[name].append(job.seconds())
    return seconds


def bench(names: Sequence[str], repeats: int, console: Terminal) -> dict[str, dict[str, list[float]]]:
    """Time contests and print their tables.

    Args:
        names: the names of the contests; all contests if there are none.
        repeats: the number of repetitions.
        console: the console to print on.

    Returns:
        The seconds of a round in each repetition, by contest and entry.

    Raises:
        ScenarioError: if a name is not that of a contest, or `repeats` is less than 1.
    """
    unknown = [name for name in names if name not in CONTESTS]
    if unknown:
        raise ScenarioError(f"there is no contest {unknown[0]!r}; there are: {', '.join(CONTESTS)}")
    if repeats < 1:
        raise ScenarioError(f"--repeats is the number of repetitions, at least 1, not {repeats}")
    measured = {}
    for name in names or CONTESTS:
        with console.status(name, spinner=console.spinner) as status:
            measured[name] = time_contest(CONTESTS[name], repeats, status.update)
        console.print(_table(CONTESTS[name], measured[name]))
    return measured


def _table(contest: Contest, seconds: Mapping[str, Sequence[float]]) -> Table:
    """Make the table of a contest: median, least and greatest seconds of a round, and the ratio to the first entry."""
    table = Table(title=contest.title, title_justify="left", header_style="bold")
    table.add_column("", no_wrap=True)
    for heading in ("s a round", "least", "most", "to the first"):
        table.add_column(heading, justify="right", no_wrap=True)
    first = median(next(iter(seconds.values())))
    for name, repetitions in seconds.items():
        middle = median(repetitions)
        figures = (f"{value:.4f}" for value in (middle, min(repetitions), max(repetitions)))
        table.add_row(name, *figures, f"{middle / first:.2f} ×")
    return table
