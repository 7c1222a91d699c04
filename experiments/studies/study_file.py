"""Read study files: scenarios with a section `study`, which says what varies."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewindnet.experiments.scenario.errors import ScenarioError, UnknownKeyError
from rewindnet.experiments.scenario.plain_data import plain_data, quoted
from rewindnet.experiments.scenario.yaml_files import STUDY, read_yaml
from rewindnet.experiments.studies.grid import Axes, value_texts
from rewindnet.registry import did_you_mean

_KEYS = ("grid", "seeds")


class StudyFile(NamedTuple):
    """A study file.

    Attributes:
        scenario: the scenario as plain data, without what varies.
        axes: the values of each key that varies, as YAML texts.
        seeds: the seeds, or their number; None where the file gives none.
    """

    scenario: Any
    axes: Axes
    seeds: int | Sequence[int] | None


def read_study_file(path: Path) -> StudyFile:
    """Read a study file, or a scenario file, in which nothing varies.

    Args:
        path: a YAML file, or the name of a recipe.

    Raises:
        ScenarioError: if it cannot be read, or its section `study` is not valid.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict) or STUDY not in raw:
        return StudyFile(raw, {}, None)
    section = raw.pop(STUDY)
    section = {} if section is None else section
    if not isinstance(section, Mapping):
        raise ScenarioError(f"study must be a mapping of the keys {' and '.join(_KEYS)}, not {quoted(section)}")
    for key in section:
        if key not in _KEYS:
            raise UnknownKeyError(str(key), "in study", did_you_mean(key, dict.fromkeys(_KEYS)), _KEYS)
    if "grid" in section and not section["grid"]:
        raise ScenarioError("study.grid is empty: give it keys with lists of values, like topology.kind: [ring, star]")
    return StudyFile(raw, axes_of(section.get("grid")), _seeds(section.get("seeds")))


def axes_of(grid: Mapping[str, Iterable[Any]] | None) -> Axes:
    """Return the values of each key of a grid as YAML texts.

    Raises:
        ScenarioError: if it is no mapping of keys to lists of values.
    """
    grid = {} if grid is None else grid
    if not isinstance(grid, Mapping):
        raise ScenarioError(f"study.grid must be a mapping of keys to lists of values, not {quoted(grid)}")
    axes: Axes = {}
    for key, values in grid.items():
        if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
            raise ScenarioError(f"{key} takes a list of values, not {quoted(plain_data(values))}")
        axes[str(key)] = value_texts(str(key), list(values))
    return axes


def seeds_of(seeds: int | Iterable[int], first: int) -> list[int]:
    """Return the seeds that a number of seeds, or a list of them, stands for.

    Args:
        seeds: the number of seeds, or the seeds.
        first: the first one of a number of seeds.

    Raises:
        ScenarioError: if there is none.
    """
    found = list(range(first, first + seeds)) if isinstance(seeds, int) else list(seeds)
    if not found:
        raise ScenarioError("seeds is the number of seeds, at least 1, or a list of them")
    return found


def _seeds(given: Any) -> int | list[int] | None:
    """Return the seeds of a study file, which are checked with the scenarios."""
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    if isinstance(given, list) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in given):
        return given
    raise ScenarioError(f"study.seeds is a number of seeds or a list of them, not {quoted(given)}")
