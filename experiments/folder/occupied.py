"""The error about a folder that holds a finished run."""

from pathlib import Path

from rewindnet.experiments.scenario.errors import ScenarioError


def occupied(folder: Path, difference: str | None = None) -> ScenarioError:
    """Return the error about a folder that holds a finished run.

    Args:
        folder: the folder.
        difference: in what the run differs from the one that is asked for, as far as known.
    """
    return ScenarioError(
        f"{folder} already holds a run{f' {difference}' if difference else ''}; choose another with --out, or "
        "overwrite it with --force"
    )
