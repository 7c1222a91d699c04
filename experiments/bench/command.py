"""Time the entries of contests side by side in one run, and print their tables: the command `rewindnet bench`."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from rich.table import Table

from rewindnet.experiments.bench.contest import Contest, Entry, Timing
from rewindnet.experiments.bench.contests import CONTESTS
from rewindnet.experiments.bench.memory import forget_peak, peak
from rewindnet.experiments.bench.references import REFERENCES
from rewindnet.experiments.bench.rounds import WARM, BenchJob, StopWatch
from rewindnet.experiments.bench.unlearning import UNLEARNING, time_unlearning, unlearning_table
from rewindnet.experiments.console import Terminal
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.registry import did_you_mean
from rewindnet.simulator.transports.base import Transport


def bench(names: Sequence[str], repeats: int, settings: Sequence[str], console: Terminal) -> dict[str, object]:
    """Time contests and print their tables.

    Args:
        names: the names of the contests; all contests if there are none.
        repeats: the number of repetitions.
        settings: settings of the scenarios that hold for all entries, as on the command line.
        console: the console to print on.

    Returns:
        What every repetition took, by contest and entry.

    Raises:
        ScenarioError: if a name is not that of a contest, or `repeats` is less than 1.
    """
    known = [*CONTESTS, UNLEARNING]
    unknown = [name for name in names if name not in known]
    if unknown:
        guess = did_you_mean(unknown[0], dict.fromkeys(known))
        raise ScenarioError(f"there is no contest {unknown[0]!r}{guess}; there are: {', '.join(known)}")
    if repeats < 1:
        raise ScenarioError(f"--repeats is the number of repetitions, at least 1, not {repeats}")
    console.print(_machine())
    measured: dict[str, object] = {}
    for name in names or known:
        with console.status(name, spinner=console.spinner) as status:
            if name == UNLEARNING:
                shares = time_unlearning(repeats, settings, status.update)
                measured[name], table = shares, unlearning_table(shares)
            else:
                timings = time_contest(CONTESTS[name], repeats, settings, status.update)
                measured[name] = {entry: [timing._asdict() for timing in of] for entry, of in timings.items()}
                table = _table(CONTESTS[name], timings)
        console.print(table)
    return measured


def time_contest(
    contest: Contest, repeats: int, settings: Sequence[str], notify: Callable[[str], None]
) -> dict[str, list[Timing]]:
    """Time the rounds of every entry, in turn, several times.

    Args:
        contest: the entries to time.
        repeats: the number of repetitions.
        settings: settings that hold for all entries.
        notify: receives a sentence about what is running.

    Returns:
        For each entry, what each repetition took.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in contest.entries}
    for repetition in range(repeats):
        for name, entry in contest.entries.items():
            notify(f"{name}, {repetition + 1} of {repeats}")
            scenario = resolve(json.loads(json.dumps(contest.scenario)), (*entry.settings, *settings))
            forget_peak()
            wall, cpu = _rounds(scenario, entry, contest.rounds)
            timings[name].append(Timing(wall, cpu, peak(device_of(scenario.backend.device))))
    return timings


def _rounds(scenario: Scenario, entry: Entry, rounds: int) -> tuple[float, float]:
    """Return the median wall and CPU seconds of the rounds of an entry."""
    if entry.reference:
        reference = REFERENCES[entry.reference](build_run(scenario), WARM + rounds)
        stopwatch = StopWatch()
        for round in range(WARM + rounds):
            reference.round(round)
            stopwatch.lap()
        return stopwatch.medians()
    with TemporaryDirectory(prefix="rewindnet-") as scratch:
        job = BenchJob(scenario, rounds, Path(scratch))
        transport: Transport = scenario.backend.build()
        transport.execute(job)
        return job.seconds()


def _table(contest: Contest, timings: Mapping[str, Sequence[Timing]]) -> Table:
    """Make the table of a contest: medians over the repetitions, their range, and the speed beside the first entry."""
    table = Table(title=contest.title, title_justify="left", header_style="bold")
    table.add_column("", no_wrap=True)
    clock = "CPU" if contest.one_process else "wall"
    for heading in (f"{clock} ms a round", "least", "most", "as fast as the first", "memory, MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    seconds = {name: [t.cpu if contest.one_process else t.wall for t in of] for name, of in timings.items()}
    first = median(next(iter(seconds.values())))
    for name, repetitions in seconds.items():
        middle = median(repetitions)
        figures = (f"{1000 * value:.4g}" for value in (middle, min(repetitions), max(repetitions)))
        memory = [timing.memory for timing in timings[name] if timing.memory is not None]
        told = f"{max(memory) / 2**20:,.0f}" if memory and contest.one_process else ""
        table.add_row(name, *figures, f"{first / middle:.2f} ×", told)
    return table


def _machine() -> str:
    """Say what the figures were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores{load}, {device}, torch {torch.__version__}"
