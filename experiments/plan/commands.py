"""The command `rewindnet plan`, as the command line reads it."""

from pathlib import Path
from typing import Annotated

import typer


def plan(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A YAML file, or the name of a recipe.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/<name>-plan by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an earlier plan in that folder.")] = False,
    clients: Annotated[
        int | None,
        typer.Option("--clients", help="How many clients to plan; by default as many as half a minute allows."),
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Print all columns, however narrow the terminal is.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Find the cheapest change that keeps the promise at every node.")
    ] = False,
    noise: Annotated[
        float | None,
        typer.Option(
            "--noise", help="For --repair: the most noise of a score, as standard deviation; by default 0.25."
        ),
    ] = None,
) -> None:
    """Compute the noise, epsilon and cost of unlearning for each client, without training.

    Settings may take several values, like topology.kind=ring,star: a plan for each combination, and a comparison.
    """
    from rewindnet.experiments.plan.command import plan_scenario

    plan_scenario(scenario, settings or [], out, force, clients, wide, repair, noise)
