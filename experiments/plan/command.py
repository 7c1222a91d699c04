"""Plan a scenario file and write the plan: the command `rewindnet plan`."""

from collections.abc import Sequence
from pathlib import Path

from rewindnet.experiments.console import terminal
from rewindnet.experiments.plan.files import check_target, write_comparison, write_plan
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.plan.repair import MOST_NOISE, find_repairs
from rewindnet.experiments.plan.repair_words import combined_sentence, print_repairs, repair_record
from rewindnet.experiments.plan.repaired import LINKS, write_repaired
from rewindnet.experiments.plan.table import print_comparison, print_plan
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.experiments.studies.grid import folder_name, grid


def plan_scenario(
    path: Path,
    settings: Sequence[str],
    out: Path | None,
    force: bool,
    clients: int | None,
    wide: bool = False,
    repair: bool = False,
    noise: float | None = None,
) -> None:
    """Plan a scenario, or every combination of several values of its settings, and write the plans into a folder.

    Args:
        path: the scenario file.
        settings: overrides, each `key=value`, or `key=value,value` for several values.
        out: the folder to write; runs/<name>-plan by default.
        force: overwrite an earlier plan there.
        clients: the number of clients to plan; by default as many as half a minute allows.
        wide: print all columns of the tables, however narrow the terminal is.
        repair: say of each row whether it keeps its promise, and find the cheapest change with which it does.
        noise: the largest standard deviation that the noise of a score may have, for a repair.

    Raises:
        UserError: if the scenario or an option is not valid; nothing has been written then.
    """
    if clients is not None and clients < 1:
        raise ScenarioError(f"--clients is the number of clients to plan, at least 1, not {clients}")
    if noise is not None and not repair:
        raise ScenarioError("--noise is the noise that a repair allows; give --repair too")
    keys, points = grid(settings)
    if repair and len(points) > 1:
        raise ScenarioError(f"--repair takes one plan, and these settings make {len(points)}; give one value each")
    scenarios = [load(path, [f"{key}={value}" for key, value in point.items()]) for point in points]
    folder = out or Path("runs") / f"{scenarios[0].name}-plan"
    check_target(folder, force)
    console = terminal(wide=wide)
    with console.status("planning", spinner=console.spinner):
        networks = [build_planned_network(scenario) for scenario in scenarios]
        network = networks[0]
        repairs = find_repairs(network, MOST_NOISE if noise is None else noise) if repair else None
        plans = [make_plan(each, point, clients) for each, point in zip(networks, points, strict=True)]
    if len(plans) == 1:
        mended = None if repairs is None else write_repaired(network, repairs, folder)
        write_plan(plans[0], folder, None if repairs is None else repair_record(network, repairs))
        print_plan(plans[0], console)
        if repairs is not None:
            print_repairs(network, repairs, folder / LINKS, console)
            for sentence in combined_sentence(repairs, mended):
                console.print(sentence, highlight=False, soft_wrap=True)
    else:
        write_comparison(plans, keys, [folder_name(point) for point in points], folder)
        print_comparison(plans, keys, console)
    console.print(f"plan: {folder}", highlight=False, soft_wrap=True)
