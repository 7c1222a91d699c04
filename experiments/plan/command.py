"""`rewindnet plan`: what forgetting would take, before anything is learned."""

from collections.abc import Sequence
from pathlib import Path

from rewindnet.experiments.console import terminal
from rewindnet.experiments.plan.files import check_target, write_comparison, write_plan
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.plan.table import compare, show
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.experiments.studies.grid import grid, place


def plan_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool, clients: int | None) -> None:
    """Plan a scenario, or every combination of its settings' values, and write down what was found.

    Args:
        path: of the scenario.
        settings: each `key=value`, or with several values `key=value,value`.
        out: the folder to write; runs/<name>-plan by default.
        force: overwrite an earlier plan there.
        clients: how many clients to plan; as many as there is time for by default.

    Raises:
        one of UserError: before anything is written.
    """
    if clients is not None and clients < 1:
        raise ScenarioError(f"--clients is the number of clients to plan, at least 1, not {clients}")
    keys, points = grid(settings)
    scenarios = [load(path, [f"{key}={value}" for key, value in point.items()]) for point in points]
    folder = out or Path("runs") / f"{scenarios[0].name}-plan"
    check_target(folder, force)
    console = terminal()
    with console.status("planning"):
        plans = [
            make_plan(build_planned_network(of), point, clients) for of, point in zip(scenarios, points, strict=True)
        ]
    if len(plans) == 1:
        write_plan(plans[0], folder)
        show(plans[0], console)
    else:
        write_comparison(plans, keys, [place(point) for point in points], folder)
        compare(plans, keys, console)
    console.print(f"plan: {folder}", highlight=False, soft_wrap=True)
