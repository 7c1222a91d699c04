"""The command `rewindnet tune`, as the command line reads it."""

from pathlib import Path
from typing import Annotated

import typer


def tune(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A YAML file, or the name of a recipe.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)] = None,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", help="The epsilon that is wanted; that of the first r2d row by default."),
    ] = None,
    cost: Annotated[
        float, typer.Option("--cost", help="The largest share of the gradients of retraining that unlearning may take.")
    ] = 0.5,
    budget: Annotated[
        str, typer.Option("--budget", help="A number of trials, like 40, or of seconds, like 60s.")
    ] = "30",
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="SOURCE", help="A public source of data; synthetic data by default."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The seed of the search; that of the scenario by default.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The scenario to write; <name>-tuned.yaml by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin anew, in place of what is there.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Print all columns, however narrow the terminal is.")] = False,
) -> None:
    """Find settings that keep accuracy at a wanted epsilon and cost, on public or synthetic data alone.

    Nothing is learned from the data of the scenario, so its settings tell nothing of what may be deleted. The scenario
    with what was found is written after every trial, with all trials in a comment; the same command goes on.
    """
    from rewindnet.experiments.tune.command import tune_scenario

    tune_scenario(scenario, settings or [], epsilon, cost, budget, data, seed, out, force, wide)
