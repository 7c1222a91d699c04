"""Learn and unlearn a graph network, and write and print the evidence: the command `rewindnet explain`."""

from collections.abc import Sequence
from pathlib import Path

from rewindnet.experiments.console import Terminal, terminal
from rewindnet.experiments.explain import tables
from rewindnet.experiments.explain.load import load_graph_scenario
from rewindnet.experiments.explain.making import make_evidence
from rewindnet.experiments.explain.run import Json
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.explain.words import about, notes
from rewindnet.experiments.fitting import print_fitting, print_sentences


def explain_scenario(path: Path, settings: Sequence[str], out: Path | None, force: bool, wide: bool = False) -> None:
    """Run the scenario of a graph network, write its evidence into a folder, and print the tables.

    Args:
        path: the scenario file, or the name of a recipe.
        settings: overrides, each `key=value`.
        out: the folder to write; runs/<name> by default. Unfinished evidence of the same scenario there goes on.
        force: overwrite earlier evidence there.
        wide: print all columns of the tables, however narrow the terminal is.

    Raises:
        UserError: if the scenario or the folder is not valid; nothing has been written then.
    """
    scenario = load_graph_scenario(path, settings)
    folder = out or Path("runs") / scenario.name
    console = terminal(wide=wide)
    if console.is_terminal:
        with console.status("learning", spinner=console.spinner) as status:
            runs = make_evidence(scenario, folder, force, status.update)
    else:
        runs = make_evidence(scenario, folder, force)
    _print(scenario, runs, console)
    console.print(f"evidence: {folder / 'evidence.html'}", highlight=False, soft_wrap=True)


def _print(scenario: GraphScenario, runs: Sequence[Json], console: Terminal) -> None:
    """Print a table for each verifier, and what must be said about them."""
    print_sentences(console, [about(scenario, runs)])
    for at, verifier in enumerate(scenario.verifiers):
        columns = tables.figures(runs, at)
        expendable = [heading for heading, _ in columns[:0:-1]]
        print_fitting(console, f"{scenario.name}: {verifier.name}", columns, expendable, words=("method",))
    print_sentences(console, notes(runs))
