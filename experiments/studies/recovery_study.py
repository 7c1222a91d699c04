"""Measure how far models that are recovered from the last ones are from those of learning: `rewindnet recovery`.

Mu and Klabjan (2025), arXiv 2409.09778, report the distance by depth. Beside it stands how far learning itself went in
the rounds that were undone: a recovered checkpoint that is no closer than the last models is worth nothing.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rewindnet.certificates import CertificateError
from rewindnet.certificates.sensitivity.recovery import check_recovered_norms, recovery_error, step_solver
from rewindnet.experiments.console import terminal
from rewindnet.experiments.folder.files import check_writable, write_json
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.simulator.outcome import divergence
from rewindnet.simulator.recovery import run_forward, undo
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess


@dataclass(frozen=True)
class Depth:
    """The recovery of the models before the last K rounds; distances are those of the node where they are largest.

    Attributes:
        rounds: K.
        distance: from the recovered to the true models.
        apart: from the last models to those that the K rounds lead to again.
        proven: the bound on `distance`; None where recovered models are too large for a bound.
        learned: how far learning went in these rounds, from the true models to the last ones.
        gradients: taken to undo the rounds and to run them again, as a share of those of all learning.
        messages: sent for that, as a share of those of all learning; 0 where learning sends none.
    """

    rounds: int
    distance: float
    apart: float
    proven: float | None
    learned: float
    gradients: float
    messages: float


def study_recovery(path: Path, settings: Sequence[str], depths: Sequence[int], out: Path | None) -> None:
    """Learn a scenario once, recover its models at each depth, and print how far they are from the true ones.

    Args:
        path: the scenario file.
        settings: overrides, each `key=value`.
        depths: the numbers of rounds to undo; without any 1, 2, 5, 10, 20, …
        out: a JSON file to write; None writes no file.

    Raises:
        UserError: if the scenario is not valid, a depth is not one of learning, or its rounds cannot be undone.
    """
    if out is not None:
        check_writable(out)
    scenario = load(path, settings)
    T = scenario.learning.rounds
    depths = depths or sorted({K for base in (1, 2, 5) for K in (base, 10 * base, 100 * base) if K < T})
    if not depths or not all(1 <= K < T for K in depths):
        raise ScenarioError(
            f"--depth is a number of rounds of learning to undo, at least 1 and less than all {T}; the initial models "
            "are known"
        )
    if scenario.learning.checkpoints is not None or scenario.backend.kind != "in-process":
        raise ScenarioError(
            "rewindnet recovery keeps every checkpoint that it compares with, in one process: leave out "
            "learning.checkpoints and backend.kind"
        )
    setup = build_run(scenario)
    wire = InProcess(setup.network.nodes, scenario.backend.precision)
    console, measured = terminal(), list[Depth]()
    with console.status("learning", spinner=console.spinner) if console.is_terminal else nullcontext():
        simulation = setup.simulation(WorkerNetwork(setup.worker(wire.nodes), wire))
        step_solver(simulation.training_run)
        measured = measure_depths(simulation, depths)
    _print_depths(scenario.name, measured, console)
    if out is not None:
        write_json(out, {"rounds": T, "depths": [asdict(depth) for depth in measured]})


def measure_depths(simulation: Simulation, depths: Sequence[int]) -> list[Depth]:
    """Learn, and recover the models before the last K rounds for each of these K.

    Args:
        simulation: the network, before it has learned.
        depths: the numbers K.

    Raises:
        CertificateError: if a round has no inverse.
    """
    T = simulation.training_run.rounds
    learned, _ = simulation.learn({T - K for K in depths})
    last, result = learned.checkpoint_names[T], []
    for K in sorted(depths):
        rounds, true = range(T - K, T), learned.at(T - K)
        name, cost = undo(simulation, rounds, last)
        apart, norms, more = run_forward(simulation, rounds, name, last)
        try:
            check_recovered_norms(simulation.training_run, T - K, norms)
            proven: float | None = float(recovery_error(simulation.training_run, rounds, apart).max())
        except CertificateError:
            proven = None
        result.append(
            Depth(
                rounds=K,
                distance=float(divergence(simulation.network.fetch(name), true).max()),
                apart=float(apart.max()),
                proven=proven,
                learned=float(divergence(learned.at(T), true).max()),
                gradients=(cost + more).gradients / learned.cost.gradients,
                messages=(cost + more).messages / learned.cost.messages if learned.cost.messages else 0.0,
            )
        )
        simulation.network.drop(name)
    return result


def _print_depths(name: str, depths: Sequence[Depth], console: Console) -> None:
    """Print the table."""
    table = Table(title=f"{name}: models recovered from the last ones, the furthest node")
    table.title_justify = "left"
    for heading in ("rounds undone", "from the true models", "proven", "run again", "learned meanwhile"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("gradients", "messages"):
        table.add_column(heading, justify="right", no_wrap=True)
    for depth in depths:
        proven = "—" if depth.proven is None else f"{depth.proven:.2g}"
        distances = f"{depth.distance:.2g}", proven, f"{depth.apart:.2g}", f"{depth.learned:.2g}"
        table.add_row(str(depth.rounds), *distances, f"{depth.gradients:.0%}", f"{depth.messages:.0%}")
    console.print(table)
    console.print(
        "Run again: how far the undone rounds lead from the last models. Gradients, messages: of all learning."
    )
