"""A grid of runs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rewindnet.experiments.folder.reader import read_folder, state
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.report import table
from rewindnet.experiments.runs.launch import run_scenario_in, terminal, violations_of
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.experiments.studies.grid import grid, place


def sweep_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool) -> list[str]:
    """`rewindnet sweep`: every combination of the settings' values, each in a folder of its own, one table at the end.

    A finished run of the very same scenario is not run again; an incomplete one is gone on with.

    Raises:
        UserError: about any of the scenarios, before the first is run.
        RunError: if a run began and could not be finished; the others are left as they are.
    """
    keys, points = grid(settings)
    scenarios = [load(path, [f"{key}={value}" for key, value in point.items()]) for point in points]
    folder = out or Path("runs") / f"{scenarios[0].name}-sweep"
    places = [folder / (place(point) or "run") for point in points]
    todo = [at for at, there in enumerate(places) if force or not _finished(there, scenarios[at])]
    for at in todo:
        check_target(places[at], scenarios[at], force)
        build_run(scenarios[at])
    console, violations = terminal(), []
    for at in todo:
        console.print(f"{places[at].name} ({todo.index(at) + 1} of {len(todo)})", highlight=False, soft_wrap=True)
        violations += violations_of(run_scenario_in(scenarios[at], places[at], force, console))
    rows = [
        {**row, "point": point}
        for point, there in zip(points, places, strict=True)
        for row in read_folder(there).summary
    ]
    first = [(key, partial(_at_point, key=key)) for key in keys]
    table.show(rows, console, title=f"{scenarios[0].name}: {len(points)} runs", first=first)
    console.print(f"run folders: {folder}", highlight=False, soft_wrap=True)
    return violations or [f"{there}: a certificate does not hold" for there in places if not _all_hold(there)]


def _finished(place: Path, scenario: Scenario) -> bool:
    written = place / "scenario.yaml"
    return state(place) == "complete" and written.is_file() and written.read_text("utf-8") == scenario.to_yaml()


def _all_hold(place: Path) -> bool:
    return all(row["holds"] for row in read_folder(place).summary)


def _at_point(row: table.Row, key: str) -> str:
    return str(row["point"][key])
