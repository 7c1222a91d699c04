"""Run every combination of several values of settings: the command `rewindnet sweep`."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from rewindnet.experiments.console import terminal
from rewindnet.experiments.early import errors_from_first_rank_only
from rewindnet.experiments.folder.format import state
from rewindnet.experiments.folder.lock import FolderBusyError
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.folder.sameness import difference
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.report import table
from rewindnet.experiments.runs.launch import run_in, violations_of
from rewindnet.experiments.runs.progress import LiveProgress
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.experiments.studies.grid import folder_name, grid


def sweep_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool, wide: bool = False) -> list[str]:
    """Run every combination of the values of settings, each into its own run folder, and print one table.

    A finished run of the same scenario, of files with the same content and by the same code, is not repeated; an
    unfinished one is continued; one that another process is running is left to it; another one is refused.

    Args:
        path: the scenario file.
        settings: overrides, each `key=value,value`.
        out: the folder for the run folders; runs/<name>-sweep by default.
        force: run finished runs again, and overwrite runs of other scenarios.
        wide: print all columns of the table, however narrow the terminal is.

    Returns:
        A sentence for each certificate that its audit found violated.

    Raises:
        UserError: if one of the scenarios is not valid; none has been run then.
        RunError: if a run began and could not be finished; later runs are not started.
    """
    with errors_from_first_rank_only():
        keys, points = grid(settings)
        scenarios = [load(path, [f"{key}={value}" for key, value in point.items()]) for point in points]
    folder = out or Path("runs") / f"{scenarios[0].name}-sweep"
    folders = [folder / (folder_name(point) or "run") for point in points]
    console = terminal(wide=wide)

    def run(scenario: Scenario, into: Path, number: int, count: int) -> RunFolder:
        console.print(f"{into.name} ({number} of {count})", highlight=False, soft_wrap=True)
        return run_in(scenario, into, force, LiveProgress(console))

    finished, left = run_missing(scenarios, folders, force, run)
    violations = [sentence for result in finished for sentence in violations_of(result)]
    ours = {each: point for point, each in zip(points, folders, strict=True) if each not in left}
    if ours:
        rows = [{**row, "point": point} for each, point in ours.items() for row in read_folder(each).summary]
        first = [(key, partial(_at_point, key=key)) for key in keys]
        counted = f"{len(ours)} run{'s' if len(ours) > 1 else ''}"
        table.print_table(rows, console, title=f"{scenarios[0].name}: {counted}", first=first)
    if left:
        names = ", ".join(each.name for each in left)
        console.print(f"left to another process, and not in the table: {names}", highlight=False, soft_wrap=True)
    console.print(f"run folders: {folder}", highlight=False, soft_wrap=True)
    return violations or [f"{each}: a certificate does not hold" for each in ours if not _all_hold(each)]


def run_missing(
    scenarios: Sequence[Scenario],
    folders: Sequence[Path],
    force: bool,
    run: Callable[[Scenario, Path, int, int], RunFolder],
) -> tuple[list[RunFolder], list[Path]]:
    """Check several scenarios, and then run those that are not finished yet, and that no other process is running.

    Args:
        scenarios: the scenarios.
        folders: the run folder of each scenario.
        force: run finished runs again, and overwrite runs of other scenarios.
        run: runs a scenario into a folder; it also gets the number of this run, and how many runs there are.

    Returns:
        The runs that were executed by this call, and the folders that another process is writing to.

    Raises:
        UserError: if one of the scenarios is not valid; none has been run then.
        RunError: if a run began and could not be finished.
    """
    missing = [at for at, folder in enumerate(folders) if force or not _finished(folder, scenarios[at])]
    for at in missing:
        with suppress(FolderBusyError):
            check_target(folders[at], scenarios[at], force)
        build_run(scenarios[at])
    done: list[RunFolder] = []
    left: list[Path] = []
    for number, at in enumerate(missing, start=1):
        if not force and _finished(folders[at], scenarios[at]):
            # Another process has run it in the meantime.
            continue
        try:
            check_target(folders[at], scenarios[at], force)
        except FolderBusyError:
            left.append(folders[at])
        else:
            done.append(run(scenarios[at], folders[at], number, len(missing)))
    return done, left


def _finished(folder: Path, scenario: Scenario) -> bool:
    """Return whether a folder holds a complete run of this scenario, of the same files and by the same code."""
    written = folder / "scenario.yaml"
    if state(folder) != "complete" or not written.is_file() or written.read_text("utf-8") != scenario.to_yaml():
        return False
    return difference(folder, scenario) is None


def _all_hold(folder: Path) -> bool:
    return all(row["holds"] for row in read_folder(folder).summary)


def _at_point(row: table.Row, key: str) -> str:
    return str(row["point"][key])
