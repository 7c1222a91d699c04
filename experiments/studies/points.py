"""The points of a study: each a combination of values, its scenario, and the folder of its run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewindnet.experiments.folder.sameness import code_sha256, versions
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.inputs import hashes, input_files
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import parse_yaml, resolve
from rewindnet.experiments.studies.grid import Axes, combinations, folder_name
from rewindnet.experiments.studies.study_file import seeds_of

#: The hexadecimal digits of a hash in the name of a run folder, and the longest text before them.
_DIGITS, _LONGEST = 10, 120


@dataclass(frozen=True, eq=False)
class Point:
    """One run of a study.

    Attributes:
        values: the value of each key of the grid, as YAML texts.
        scenario: the scenario.
        folder: the run folder, which is named by the values and by a hash of the scenario, its inputs and the code.
    """

    values: Mapping[str, str]
    scenario: Scenario
    folder: Path

    @property
    def plain(self) -> dict[str, Any]:
        """The value of each key of the grid."""
        return {key: parse_yaml(text) for key, text in self.values.items()}


def with_seeds(axes: Axes, seeds: int | Sequence[int] | None, raw: Any, beside: Path | None = None) -> Axes:
    """Return the axes of a grid with the seeds as the last of them.

    Args:
        axes: the values of each key.
        seeds: the seeds, or their number, beginning with the seed of the scenario; None for the seeds of the grid.
        raw: the scenario as plain data.
        beside: the folder of the scenario file.

    Raises:
        ScenarioError: if the grid has seeds, too.
    """
    if seeds is None:
        return axes
    if "seed" in axes:
        raise ScenarioError("seed is given twice, in the grid and as seeds")
    first = resolve(raw, (), beside).seed if isinstance(seeds, int) else 0
    return {**axes, "seed": [str(seed) for seed in seeds_of(seeds, first)]}


def points_of(raw: Any, axes: Axes, beside: Path | None = None) -> list[tuple[dict[str, str], Scenario]]:
    """Make the scenario of each combination of values.

    Args:
        raw: the scenario as plain data.
        axes: the values of each key, as YAML texts.
        beside: the folder of the scenario file, where relative paths are looked for first.

    Raises:
        ScenarioError: if one of them is not valid.
    """
    return [
        (values, resolve(raw, [f"{key}={value}" for key, value in values.items()], beside))
        for values in combinations(axes)
    ]


def placed(scenarios: Sequence[tuple[dict[str, str], Scenario]], folder: Path) -> list[Point]:
    """Give each scenario of a study its run folder.

    Args:
        scenarios: the values of each point, and its scenario.
        folder: the folder of the study.

    Raises:
        UserError: if a file that a scenario names cannot be read.
    """
    return [Point(values, scenario, folder / _name(values, scenario)) for values, scenario in scenarios]


def identity(scenario: Scenario) -> str:
    """Return the sha256 of a scenario, of the content of the files that it reads, and of the code that would run it."""
    content = {
        "scenario": scenario.plain(),
        "inputs": hashes(input_files(scenario)),
        "versions": versions(),
        "code": code_sha256(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _name(values: dict[str, str], scenario: Scenario) -> str:
    """Return the name of a run folder: the values, as far as they are short, and the hash."""
    return f"{(folder_name(values) or 'run')[:_LONGEST]}-{identity(scenario)[:_DIGITS]}"
