"""Refuse to write into a folder that holds a finished run."""

from pathlib import Path

from rewindnet.experiments.folder.format import state
from rewindnet.experiments.scenario.errors import ScenarioError


def refuse_finished(folder: Path, difference: str | None = None) -> None:
    """Refuse a folder that holds a finished run.

    Args:
        folder: the folder.
        difference: in what the run differs from the one that is asked for, as far as known.

    Raises:
        ScenarioError: if it does.
        FolderError: if its `record.json` is damaged or of another format.
    """
    if state(folder) == "complete":
        raise ScenarioError(
            f"{folder} already holds a run{f' {difference}' if difference else ''}; choose another with --out, or "
            "overwrite it with --force"
        )
