"""Scenarios run through to their folder, as the command line would."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.assemble import assemble
from experiments.folder import RunFolder, read_folder
from experiments.job import RunJob
from experiments.scenario import resolve


def run_through(scenario: Mapping[str, Any], folder: Path, *overrides: str) -> RunFolder:
    """Run a scenario and read what it left."""
    resolved = resolve(dict(scenario), overrides)
    resolved.backend.build().carry_out(RunJob(assemble(resolved), folder, False, folder.parent / "scratch"))
    return read_folder(folder)
