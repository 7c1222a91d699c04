"""Read the scenario of a graph network from a file, and apply overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rewindnet.errors import UserError
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.overrides import override, split_override
from rewindnet.experiments.scenario.paths import beside
from rewindnet.experiments.scenario.plain_data import one_line, plain_data
from rewindnet.experiments.scenario.sentences import sentence_about
from rewindnet.experiments.scenario.yaml_text import read_yaml


def load_graph_scenario(path: Path, settings: Sequence[str] = ()) -> GraphScenario:
    """Read a scenario file, or the recipe of that name, and apply overrides; an empty file is the default.

    Args:
        path: a YAML file, or the name of a recipe.
        settings: overrides, each `key=value`.

    Raises:
        ScenarioError: if the file cannot be read, or the scenario is not valid.
    """
    raw = read_yaml(path)
    try:
        return _resolved(raw, settings, path.parent)
    except ValidationError as problem:
        sentence = sentence_about(problem, GraphScenario)
    except UserError as problem:
        sentence = str(problem)
    raise ScenarioError(one_line(sentence))


def _resolved(raw: Any, settings: Sequence[str], folder: Path) -> GraphScenario:
    """Apply overrides to plain data, and validate the result."""
    raw = {} if raw is None else plain_data(raw)
    if not isinstance(raw, dict):
        raise ScenarioError(f"a scenario is a mapping of keys, not {type(raw).__name__}")
    for path, value in map(split_override, settings):
        override(raw, path, plain_data(value, tuple(path)), GraphScenario)
    beside(raw, folder)
    return GraphScenario.model_validate({key: value for key, value in raw.items() if value is not None})
