"""The command `rewindnet explain`, as the command line reads it."""

from pathlib import Path
from typing import Annotated

import typer


def explain(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A YAML file, or the name of a recipe.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/<name> by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite earlier evidence in that folder.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Print all columns, however narrow the terminal is.")] = False,
) -> None:
    """Delete nodes of a graph network, unlearn with every listed method, and show what of it can be seen.

    Clients hold communities of a graph and learn one model of its nodes. Verifiers look at each unlearned model, client
    by client and by the distance from the deleted nodes. Nothing is certified. Keys are those of
    docs/graph-networks.md.
    """
    from rewindnet.experiments.explain.command import explain_scenario

    explain_scenario(scenario, settings or [], out, force, wide)
