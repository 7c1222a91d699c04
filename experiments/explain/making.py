"""Make the evidence about a graph network in a folder, seed by seed; what was interrupted goes on."""

from collections.abc import Callable
from pathlib import Path

from rewindnet.experiments.explain.record import check_target, write_evidence, write_unfinished
from rewindnet.experiments.explain.run import Json, explain
from rewindnet.experiments.explain.scenario import GraphScenario


def make_evidence(
    scenario: GraphScenario, folder: Path, force: bool = False, tell: Callable[[str], None] = lambda what: None
) -> list[Json]:
    """Run a scenario with each of its seeds, and write the evidence into a folder.

    After each seed but the last, what was found is kept there, and the next call goes on with it.

    Args:
        scenario: the scenario.
        folder: the folder.
        force: overwrite earlier evidence there, and begin anew.
        tell: is told what goes on.

    Returns:
        What was found with each seed.

    Raises:
        UserError: if the scenario or the folder is not valid; nothing has been written then.
        KeyboardInterrupt: with a sentence about how to go on, if the user interrupts it.
    """
    runs = check_target(folder, scenario, force)
    try:
        for seed in range(scenario.seed + len(runs), scenario.seed + scenario.seeds):
            runs.append(explain(scenario, seed, tell))
            if len(runs) < scenario.seeds:
                write_unfinished(scenario, runs, folder)
    except KeyboardInterrupt:
        again = "the same command without --force" if force else "the same command"
        done = f"{len(runs)} of {scenario.seeds} seeds are kept, and {again} goes on"
        raise KeyboardInterrupt(*([done] if runs else [])) from None
    write_evidence(scenario, runs, folder)
    return runs
