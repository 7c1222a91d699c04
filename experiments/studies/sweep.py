"""Run every combination of several values of settings: the command `rewindnet sweep`."""

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from rewindnet.experiments.console import terminal
from rewindnet.experiments.early import errors_from_first_rank_only
from rewindnet.experiments.folder.format import is_complete
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.output import complain
from rewindnet.experiments.report import table
from rewindnet.experiments.report.columns import Row
from rewindnet.experiments.runs.launch import violations_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.studies.attempt import Outcome
from rewindnet.experiments.studies.display import Terminal, duration
from rewindnet.experiments.studies.grid import axes_of_settings, varying
from rewindnet.experiments.studies.making import check_points, make
from rewindnet.experiments.studies.points import Point, placed, points_of, with_seeds
from rewindnet.experiments.studies.results import StudyResults, load_study
from rewindnet.experiments.studies.show_table import print_pivot
from rewindnet.experiments.studies.slurm import submit_command, write_array
from rewindnet.experiments.studies.study_file import read_study_file
from rewindnet.experiments.studies.study_folder import StudyRun, others_in, write_study
from rewindnet.simulator.errors import MachineError, RunError

#: Where the runs of a study may be made: on this machine, by an array of jobs that is written, or on a cluster.
LAUNCHERS = ("local", "slurm-array", "ray")


def sweep_scenario(
    path: Path,
    settings: Sequence[str],
    out: Path | None,
    force: bool,
    wide: bool = False,
    jobs: int | None = None,
    seeds: int | Sequence[int] | None = None,
    launcher: str = "local",
) -> list[str]:
    """Run every combination of the values of settings, each into its own run folder, and print one table.

    A finished run of the same scenario, of files with the same content and by the same code, is not repeated; an
    unfinished one is continued; one that another process is running is left to it. A run that fails does not stop the
    others.

    Args:
        path: the study file or scenario file.
        settings: overrides, each `key=value,value`, in place of those of the grid of the file.
        out: the folder of the study; runs/<name>-sweep by default.
        force: run finished runs again.
        wide: print all columns of the table, however narrow the terminal is.
        jobs: how many runs go on at the same time; as many as cores and memory allow by default.
        seeds: the seeds, or their number, in place of those of the file.
        launcher: where the runs are made, one of `LAUNCHERS`.

    Returns:
        A sentence for each certificate that its audit found violated.

    Raises:
        UserError: if one of the scenarios is not valid; none has been run then.
        RunError: if runs failed; all others have been made then.
        MachineError: if the machine failed under a run; the same command goes on with it.
    """
    with errors_from_first_rank_only():
        _check_numbers(jobs, seeds)
        if launcher not in LAUNCHERS:
            raise ScenarioError(f"--launcher is one of: {', '.join(LAUNCHERS)}, not {launcher!r}")
        file = read_study_file(path)
        given = axes_of_settings(settings)
        if seeds is None and "seed" not in given:
            seeds = file.seeds
        axes = with_seeds({**file.axes, **given}, seeds, file.scenario, path.parent)
        if not axes:
            raise ScenarioError(
                f"nothing varies in {path}: give a setting with several values, like topology.kind=ring,star, or "
                "--seeds, or a section study with a grid; rewindnet run makes a single run"
            )
        scenarios = points_of(file.scenario, axes, path.parent)
    name = scenarios[0][1].name
    folder, console = out or Path("runs") / f"{name}-sweep", terminal(wide=wide)
    points = placed(scenarios, folder)
    display = Terminal(console)
    missing = check_points(points, force, display)
    write_study(folder, name, varying(axes), [StudyRun(point.folder, point.plain) for point in points])
    if launcher == "slurm-array":
        _print_array(write_array(missing, path, folder, name, force, jobs), folder, console)
        return []
    outcome = make(missing, force, display, jobs, launcher=launcher)
    violations = _print_study(points, outcome, varying(axes), folder, console)
    if any(is_complete(point.folder) for point in points):
        _print_results(load_study(folder), console)
    _raise_failures(outcome, path, len(points))
    return violations


def _print_array(written: Sequence[Path], folder: Path, console: Console) -> None:
    """Say how the runs of a study are submitted, and gathered afterwards."""
    said = "nothing to submit: every run is finished; the same sweep without --launcher prints its table"
    if written:
        said = (
            f"written: {', '.join(map(str, written))}\nsubmit them with: {submit_command(folder)}\n"
            "when they have ended, the same sweep without --launcher gathers them"
        )
    console.print(said, highlight=False, soft_wrap=True)


def _print_results(results: StudyResults, console: Console) -> None:
    """Print the certified ε with its spread if there are several seeds, and write the files of results."""
    if len({row["seed"] for row in results.rows()}) > 1:
        print_pivot(results.table(), f"{results.name}: ε certified, over seeds", console)
    written = ", ".join(str(path) for path in results.write())
    console.print(f"results: {written}", highlight=False, soft_wrap=True)


def _check_numbers(jobs: int | None, seeds: int | Sequence[int] | None) -> None:
    """Refuse numbers of jobs and seeds below 1."""
    for option, number, what in (("--jobs", jobs, "runs at the same time"), ("--seeds", seeds, "seeds")):
        if isinstance(number, int) and number < 1:
            raise ScenarioError(f"{option} is the number of {what}, at least 1, not {number}")


def _print_study(
    points: Sequence[Point], outcome: Outcome, keys: Sequence[str], folder: Path, console: Console
) -> list[str]:
    """Print the table of all finished runs; return a sentence for each certificate that does not hold."""
    absent = [*outcome.left, *(point for point, _ in outcome.failed)]
    finished = {point: read_folder(point.folder) for point in points if point not in absent}
    if finished:
        rows = [{**row, "point": point.values} for point, run in finished.items() for row in run.summary]
        first = [(key, partial(_at_point, key=key)) for key in keys]
        counted = f"{len(finished)} run{'s' if len(finished) > 1 else ''}"
        table.print_table(rows, console, title=f"{points[0].scenario.name}: {counted}", first=first)
    if outcome.left:
        names = ", ".join(point.folder.name for point in outcome.left)
        console.print(f"left to another process, and not in the table: {names}", highlight=False, soft_wrap=True)
    others = others_in(folder, [point.folder for point in points])
    if others:
        console.print(f"not part of this study, in its folder: {_listed(others)}", highlight=False, soft_wrap=True)
    if outcome.seconds_saved:
        saved = duration(outcome.seconds_saved)
        console.print(f"learning and retraining that runs have in common were computed once: {saved} saved")
    console.print(f"run folders: {folder}", highlight=False, soft_wrap=True)
    return [sentence for point, run in finished.items() for sentence in _violations(point, run, outcome)]


def _violations(point: Point, run: RunFolder, outcome: Outcome) -> list[str]:
    """Return a sentence for each certificate of a run that does not hold; one for a run of an earlier command."""
    if point in outcome.done:
        return violations_of(run)
    holds = all(row["holds"] for row in run.summary)
    return [] if holds else [f"{point.folder}: a certificate does not hold"]


def _raise_failures(outcome: Outcome, path: Path, count: int) -> None:
    """Print a sentence for each run that failed, with the command that repeats it.

    Raises:
        RunError: if there is one.
    """
    for point, ending in outcome.failed:
        complain(f"{point.folder.name} failed: {ending.sentence}; repeat it with: {_command(point, path)}")
    if not outcome.failed:
        return
    sentence = f"{len(outcome.failed)} of {count} runs failed"
    if any(ending.kind == "machine" for _, ending in outcome.failed):
        raise MachineError(f"{sentence}; the same command goes on")
    raise RunError(f"{sentence}; the others are finished")


def _command(point: Point, path: Path) -> str:
    """Return the command that makes one run again."""
    settings = [f"{key}={value}" for key, value in point.values.items()]
    return shlex.join(["rewindnet", "run", str(path), *settings, "--out", str(point.folder)])


def _listed(names: Sequence[str], most: int = 3) -> str:
    """Return some of several names, and how many there are besides."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _at_point(row: Row, key: str) -> str:
    return str(row["point"][key])
