"""Read scenarios from files or plain data, and apply overrides."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rewindnet.errors import UserError, notice
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.overrides import override, split_key, split_override
from rewindnet.experiments.scenario.paths import beside
from rewindnet.experiments.scenario.plain_data import one_line, plain_data, quoted
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.sentences import GRAPH_KEYS, sentence_about, unknown_key
from rewindnet.experiments.scenario.yaml_text import parse_yaml, read_yaml

__all__ = ["STUDY", "load", "parse_yaml", "read_yaml", "resolve"]

#: The section of a scenario file that says what varies in a study.
STUDY = "study"


def load(path: Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Scenario:
    """Read a scenario file and apply overrides.

    Args:
        path: a YAML file, or the name of a recipe where there is no such file; an empty file is the demo.
        overrides: as for `resolve`.

    Raises:
        ScenarioError: if the file cannot be read, or the scenario is not valid.
    """
    raw = read_yaml(path)
    if isinstance(raw, dict) and STUDY in raw:
        del raw[STUDY]
        notice(f"the section {STUDY} of {path} is left out: rewindnet sweep runs the study")
    return resolve(raw, overrides, path.parent)


def resolve(raw: Any, overrides: Iterable[str] | Mapping[str, Any] = (), folder: Path | None = None) -> Scenario:
    """Make a scenario from plain data and overrides.

    Args:
        raw: a mapping of keys, which is not changed; None is the demo.
        overrides: texts like `topology.kind=ring` or `unlearning.0.rewind=0.9`, whose values are YAML; or a mapping
            from keys like `topology.kind` to values.
        folder: the folder of the scenario file, where relative paths are looked for first; by default nowhere.

    Raises:
        ScenarioError: with one sentence about the first error.
    """
    overrides = overrides if isinstance(overrides, Mapping) else tuple(overrides)
    try:
        return _resolved(raw, overrides, folder)
    except ValidationError as problem:
        sentence = sentence_about(problem)
    except UserError as problem:
        sentence = str(problem)
    raise ScenarioError(one_line(sentence + _several_values(sentence, overrides)))


def _several_values(sentence: str, overrides: Iterable[str] | Mapping[str, Any]) -> str:
    """Say which command takes several values, if an error is about a text like `ring,star`; else say nothing."""
    for text in () if isinstance(overrides, Mapping) else overrides:
        key, _, value = text.partition("=")
        if "," in value and quoted(value) in sentence and "must be a list" not in sentence:
            return f"; for several values of {key} use rewindnet sweep"
    return ""


def _resolved(raw: Any, overrides: Iterable[str] | Mapping[str, Any], folder: Path | None) -> Scenario:
    """Apply overrides to plain data, and validate the result."""
    raw = {} if raw is None else plain_data(raw)
    if not isinstance(raw, dict):
        raise ScenarioError(f"a scenario is a mapping of keys, not {type(raw).__name__}")
    if isinstance(overrides, Mapping):
        pairs = [(split_key(key), value) for key, value in plain_data(overrides).items()]
    else:
        pairs = [split_override(text) for text in overrides]
    for path, value in pairs:
        override(raw, path, plain_data(value, tuple(path)))
    if folder is not None:
        beside(raw, folder)
    for key in raw:
        if key in GRAPH_KEYS:
            raise unknown_key([], key)
    # An empty section in YAML is null; it means the defaults.
    return Scenario.model_validate({key: value for key, value in raw.items() if value is not None})
