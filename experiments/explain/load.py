"""Read the scenario of a graph network from a file or from plain data, and apply overrides."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rewindnet.errors import UserError
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.overrides import override, split_key, split_override
from rewindnet.experiments.scenario.paths import beside
from rewindnet.experiments.scenario.plain_data import one_line, plain_data
from rewindnet.experiments.scenario.sentences import sentence_about
from rewindnet.experiments.scenario.yaml_text import read_yaml


def load_graph_scenario(path: Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> GraphScenario:
    """Read a scenario file, or the recipe of that name, and apply overrides; an empty file is the default.

    Args:
        path: a YAML file, or the name of a recipe.
        overrides: as for `resolve_graph_scenario`.

    Raises:
        ScenarioError: if the file cannot be read, or the scenario is not valid.
    """
    return resolve_graph_scenario(read_yaml(path), overrides, path.parent)


def resolve_graph_scenario(
    raw: Any, overrides: Iterable[str] | Mapping[str, Any] = (), folder: Path | None = None
) -> GraphScenario:
    """Make a scenario from plain data and overrides.

    Args:
        raw: a mapping of keys, which is not changed; None is the default.
        overrides: texts like `model=gat`, whose values are YAML; or a mapping from keys like `deletion.nodes` to
            values.
        folder: the folder of the scenario file, where relative paths are looked for first; by default nowhere.

    Raises:
        ScenarioError: with one sentence about the first error.
    """
    try:
        return _resolved(raw, overrides, folder)
    except ValidationError as problem:
        sentence = sentence_about(problem, GraphScenario)
    except UserError as problem:
        sentence = str(problem)
    raise ScenarioError(one_line(sentence))


def _resolved(raw: Any, overrides: Iterable[str] | Mapping[str, Any], folder: Path | None) -> GraphScenario:
    """Apply overrides to plain data, and validate the result."""
    raw = {} if raw is None else plain_data(raw)
    if not isinstance(raw, dict):
        raise ScenarioError(f"a scenario is a mapping of keys, not {type(raw).__name__}")
    if isinstance(overrides, Mapping):
        pairs = [(split_key(key), value) for key, value in plain_data(overrides).items()]
    else:
        pairs = [split_override(text) for text in overrides]
    for path, value in pairs:
        override(raw, path, plain_data(value, tuple(path)), GraphScenario)
    if folder is not None:
        beside(raw, folder)
    return GraphScenario.model_validate({key: value for key, value in raw.items() if value is not None})
