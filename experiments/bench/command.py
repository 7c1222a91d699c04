"""Time the entries of contests side by side in one run, and print their tables: the command `rewindnet bench`."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from rewindnet.experiments.bench.all_references import REFERENCES
from rewindnet.experiments.bench.contest import Contest, Entry, Timing
from rewindnet.experiments.bench.contests import CONTESTS
from rewindnet.experiments.bench.memory import forget_peak, peak
from rewindnet.experiments.bench.planning import PLAN, time_plans
from rewindnet.experiments.bench.rounds import WARM, BenchJob, StopWatch
from rewindnet.experiments.bench.tables import print_plans, print_timings, print_unlearning
from rewindnet.experiments.bench.unlearning import UNLEARNING, time_unlearning
from rewindnet.experiments.console import Terminal
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.devices import DEVICES, device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.registry import did_you_mean
from rewindnet.simulator.transports.base import Transport


def bench(
    names: Sequence[str], repeats: int, settings: Sequence[str], console: Terminal, device: str = "auto"
) -> dict[str, object]:
    """Time contests and print their tables.

    Args:
        names: the names of the contests; all contests if there are none, without those that need an absent GPU.
        repeats: the number of repetitions.
        settings: settings of the scenarios that hold for all entries, as on the command line.
        device: the device that all entries compute on; `auto` is a GPU where there is one.
        console: the console to print on.

    Returns:
        What every repetition took, by contest and entry.

    Raises:
        ScenarioError: if a name is not that of a contest, a contest or the device needs a GPU that is not there, or
            `repeats` is less than 1.
    """
    if device not in DEVICES:
        raise ScenarioError(f"--device is {', '.join(DEVICES)}, not {device!r}")
    wanted = next((text.partition("=")[2] for text in settings if text.startswith("backend.device=")), device)
    on_gpu = device_of(wanted).type == "cuda"
    chosen, settings = _chosen(names, repeats, on_gpu), (f"backend.device={device}", *settings)
    console.print(_machine())
    if len(settings) > 1:
        console.print(f"instead of what the titles say: {', '.join(settings[1:])}")
    measured: dict[str, object] = {}
    if absent := [name for name in CONTESTS if not names and name not in chosen]:
        console.print(f"left out, since they need a GPU: {', '.join(absent)}", soft_wrap=True)
    contests = {name: CONTESTS[name] for name in chosen if name in CONTESTS}
    if others := sorted({entry for contest in contests.values() for entry in contest.absent}):
        console.print(f"left out, since they are not installed: {', '.join(others)}", soft_wrap=True)
    contests = {name: contest.here() for name, contest in contests.items()}
    for name in chosen:
        with console.status(name, spinner=console.spinner) as status:
            if name == UNLEARNING:
                measured[name] = shares = time_unlearning(repeats, settings, status.update)
            elif name == PLAN:
                timings = time_plans(repeats, settings, status.update)
                measured[name] = {entry: [timing._asdict() for timing in of] for entry, of in timings.items()}
            else:
                timings = time_contest(contests[name], repeats, settings, status.update)
                measured[name] = {entry: [timing._asdict() for timing in of] for entry, of in timings.items()}
        if name == UNLEARNING:
            print_unlearning(console, shares)
        elif name == PLAN:
            print_plans(console, timings)
        else:
            print_timings(console, contests[name], timings, on_gpu)
    return measured


def _chosen(names: Sequence[str], repeats: int, gpu: bool) -> Sequence[str]:
    """Return the names of the contests to time, after a check."""
    known = [*CONTESTS, UNLEARNING, PLAN]
    unknown = [name for name in names if name not in known]
    if unknown:
        guess = did_you_mean(unknown[0], dict.fromkeys(known))
        raise ScenarioError(f"there is no contest {unknown[0]!r}{guess}; there are: {', '.join(known)}")
    if repeats < 1:
        raise ScenarioError(f"--repeats is the number of repetitions, at least 1, not {repeats}")
    alone = [name for name in CONTESTS if CONTESTS[name].needs_gpu and not gpu]
    refused = [name for name in names if name in alone]
    if refused:
        raise ScenarioError(f"the contest {refused[0]} needs a GPU, and torch finds no CUDA device to compute on here")
    return names or [name for name in known if name not in alone]


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


def _machine() -> str:
    """Say what the figures were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores{load}, {device}, torch {torch.__version__}"
