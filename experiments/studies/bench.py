"""The speed of rounds on every transport, measured side by side: `rewindnet bench`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.methods.baselines import DoNothing
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.learning import Descend, InitialModel
from rewindnet.clients.worker import ClientWorker
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

#: Rounds before those that are timed.
_WARM = 2


@dataclass(frozen=True)
class Contest:
    """Settings that are timed in turn, each against the first.

    Attributes:
        title: what is compared.
        scenario: what all of them learn.
        rounds: how many are timed in a heat.
        entries: the settings of each, by name.
    """

    title: str
    scenario: Mapping[str, Any]
    rounds: int
    entries: Mapping[str, Sequence[str]]


def _learning(nodes: int, dimensions: int, classes: int, samples: int, steps: int) -> dict[str, Any]:
    """Describe a network of regular degree; its model has classes · (dimensions + 1) parameters.

    Args:
        nodes: N.
        dimensions: of a sample.
        classes: of the labels.
        samples: that each client holds.
        steps: local steps in a round.
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
    """Rounds of learning, timed: a `Job` for a transport."""

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
        """The text from which `open_job` makes this very job in another process."""
        scenario = self._setup.scenario.plain()
        return json.dumps({"scenario": scenario, "rounds": self._rounds, "scratch": str(self.scratch)})

    @property
    def _result(self) -> Path:
        return self.scratch / "seconds.json"

    def worker(self, nodes: Sequence[int], rank_on_machine: int = 0) -> ClientWorker:
        """Make the clients at these nodes."""
        return self._setup.worker(nodes, device_of(self._setup.scenario.backend.device, rank_on_machine))

    def run(self, network: Network) -> None:
        """Learn, and write down the seconds of every round."""
        rounds = range(_WARM + self._rounds)
        watch = _StopWatch()
        start, learn = InitialModel(0), Descend(self._setup.network.training_run.order, rounds)
        task = Task("bench", 0, None, (start,), (learn,), 0, frozenset())
        execute(network, task, self._setup.network.mixing, (watch,))
        if network.root:
            self._result.write_text(json.dumps(watch.seconds[_WARM:]), "utf-8")

    def wait(self) -> None:
        """Show nothing."""

    def seconds(self) -> float:
        """Read the seconds of a round: the median over those that were timed."""
        rounds: list[float] = json.loads(self._result.read_text("utf-8"))
        return median(rounds)


def open_job(description: str) -> BenchJob:
    """Make the job of a description, in a process that another one has started to work on it."""
    content = json.loads(description)
    return BenchJob(resolve(content["scenario"]), content["rounds"], Path(content["scratch"]))


class _StopWatch(Callback):
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = perf_counter()

    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        now = perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def heats(contest: Contest, repeats: int, tell: Callable[[str], None]) -> dict[str, list[float]]:
    """Time a round of every entry, in turn, several times.

    Args:
        contest: what to time.
        repeats: how many heats.
        tell: is told what runs now.

    Returns:
        For each entry the seconds of a round, one figure for each heat.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contest.entries}
    for heat in range(repeats):
        for name, settings in contest.entries.items():
            tell(f"{name}, {heat + 1} of {repeats}")
            scenario = resolve(json.loads(json.dumps(contest.scenario)), settings)
            with TemporaryDirectory(prefix="rewindnet-") as scratch:
                job = BenchJob(scenario, contest.rounds, Path(scratch))
                transport: Transport = scenario.backend.build()
                transport.execute(job)
                seconds[name].append(job.seconds())
    return seconds


def bench(names: Sequence[str], repeats: int, console: Console) -> dict[str, dict[str, list[float]]]:
    """Time the contests of these names, all by default, and print their tables.

    Returns:
        seconds a round of every heat, by contest and entry.

    Raises:
        ScenarioError: if there is no contest of a name, or nothing to repeat.
    """
    unknown = [name for name in names if name not in CONTESTS]
    if unknown:
        raise ScenarioError(f"there is no contest {unknown[0]!r}; there are: {', '.join(CONTESTS)}")
    if repeats < 1:
        raise ScenarioError(f"repeats is how often everything is timed, at least once, not {repeats}")
    measured = {}
    for name in names or CONTESTS:
        with console.status(name) as status:
            measured[name] = heats(CONTESTS[name], repeats, status.update)
        console.print(_table(CONTESTS[name], measured[name]))
    return measured


def _table(contest: Contest, seconds: Mapping[str, Sequence[float]]) -> Table:
    table = Table(title=contest.title, title_justify="left", header_style="bold")
    table.add_column("", no_wrap=True)
    for heading in ("s a round", "least", "most", "to the first"):
        table.add_column(heading, justify="right", no_wrap=True)
    first = median(next(iter(seconds.values())))
    for name, heats in seconds.items():
        middle = median(heats)
        figures = (f"{value:.4f}" for value in (middle, min(heats), max(heats)))
        table.add_row(name, *figures, f"{middle / first:.2f} ×")
    return table
