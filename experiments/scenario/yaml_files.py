"""Scenario files: YAML in, with overrides from the command line."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from rewindnet.errors import UserError
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import one_line, plain_data, quoted
from rewindnet.experiments.scenario.registries import settings_model
from rewindnet.experiments.scenario.scenario import DEFAULT_METHODS, Choice, Scenario, Unlearning


class _Loader(yaml.SafeLoader):
    """YAML, with 1e-5 read as the number it is meant to be, and a key given twice refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for at, key in enumerate(keys) if key in keys[:at]]
        if twice:
            raise ScenarioError(f"the key {twice[0]!r} is given twice (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """A YAML document.

    Raises:
        ScenarioError: if it is not YAML; the message names the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        cause = getattr(problem, "problem", None) or getattr(problem, "reason", "it cannot be read")
        raise ScenarioError(f"this is not YAML{where}: {' '.join(str(cause).split())}") from None
    except (ValueError, OverflowError) as problem:
        if isinstance(problem, ScenarioError):
            raise
        # A number, a date or base64 text that is none.
        raise ScenarioError(f"this is not YAML: {' '.join(str(problem).split())}") from None
    except RecursionError:
        raise ScenarioError("this is not YAML that can be read: it is nested too deeply") from None


def load(path: Path, overrides: Iterable[str] = ()) -> Scenario:
    """Read a scenario file and apply `key=value` overrides.

    Args:
        path: a YAML file; empty means the demo.
        overrides: like `topology.kind=ring` or `unlearning.0.rewind=0.9`; values are YAML.

    Raises:
        ScenarioError: if the file cannot be read or the scenario makes no sense; nothing is written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise ScenarioError(f"cannot read the scenario {path}: {reason}") from None
    return resolve(parse_yaml(text), overrides)


def resolve(raw: Any, overrides: Iterable[str] = ()) -> Scenario:
    """A scenario from plain data and overrides.

    Raises:
        ScenarioError: with one sentence for the first thing that is wrong.
    """
    try:
        return _resolved(raw, overrides)
    except ValidationError as problem:
        sentence = _sentence(problem)
    except UserError as problem:
        sentence = str(problem)
    raise ScenarioError(one_line(sentence))


def _resolved(raw: Any, overrides: Iterable[str]) -> Scenario:
    raw = {} if raw is None else plain_data(raw)
    if not isinstance(raw, dict):
        raise ScenarioError(f"a scenario is a mapping of keys, not {type(raw).__name__}")
    for text in overrides:
        key, value = split_override(text)
        override(raw, key, plain_data(value, tuple(key)))
    # A section that is left empty is a section with nothing to say.
    return Scenario.model_validate({key: value for key, value in raw.items() if value is not None})


def split_override(text: str) -> tuple[list[str], Any]:
    """`a.b=value` as its path and its YAML value.

    Raises:
        ScenarioError: if it is not of that form.
    """
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ScenarioError(f"settings are written key=value, like topology.kind=ring; not {text!r}")
    return key.split("."), parse_yaml(value)


def override(raw: dict[str, Any], path: list[str], value: Any) -> None:
    """Set one key of plain scenario data, in place.

    A choice that is replaced by another (`topology.kind=ring`) loses the settings that the new one does not have.

    Raises:
        ScenarioError: if the path does not lead anywhere.
    """
    if path[0] == "unlearning" and "unlearning" not in raw:
        raw["unlearning"] = [dict(method) for method in DEFAULT_METHODS]
    here: Any = raw
    section: type[BaseModel] | None = Scenario
    for at, name in enumerate(path[:-1]):
        key: Any = _index(name, len(here), path) if isinstance(here, list) else name
        if isinstance(here, dict):
            section = _section(section, name)
            if here.get(name) is None and (section is not None or name not in here):
                here[name] = {}
        if isinstance(here[key], str) and section is not None and issubclass(section, Choice):
            here[key] = {section.key: here[key]}
        here = here[key]
        if not isinstance(here, dict | list):
            raise ScenarioError(f"{'.'.join(path[: at + 1])} is not a section, so {'.'.join(path)} cannot be set")
    if isinstance(here, list):
        here[_index(path[-1], len(here), path)] = value
        return
    if section is not None and issubclass(section, Choice) and path[-1] == section.key:
        _drop_foreign(here, section, value)
    here[path[-1]] = value


def _drop_foreign(here: dict[str, Any], section: type[Choice], value: Any) -> None:
    """Forget settings of the previous choice that the new one does not take."""
    before = here.get(section.key, section.model_fields[section.key].default)
    old, new = (set(settings_model(section.what, name).model_fields) for name in (before, value))
    for setting in old - new - set(section.model_fields):
        here.pop(setting, None)


def _section(section: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    """The section that a key of a section leads to, if it leads to one."""
    if name == "unlearning":
        return Unlearning
    field = section.model_fields.get(name) if section is not None else None
    kind = field.annotation if field is not None else None
    kinds = [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel)]
    return kinds[0] if len(kinds) == 1 else None


def _index(name: str, length: int, path: list[str]) -> int:
    if not (name.isascii() and name.isdigit()) or int(name) >= length:
        raise ScenarioError(f"{'.'.join(path)}: the list has the entries 0 to {length - 1}, not {name}")
    return int(name)


def _sentence(problem: ValidationError) -> str:
    """The first thing that is wrong, as one sentence a user can act on."""
    first = problem.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, key = [str(part) for part in first["loc"]]
        return f"unknown key {key!r} in {'.'.join(parents) or 'the scenario'}; allowed: {', '.join(_allowed(parents))}"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ValidationError):
        inner = cause.errors()[0]
        return f"{place}.{'.'.join(map(str, inner['loc']))}: {_said(inner)}"
    if isinstance(cause, ValueError):
        return f"{place}: {cause}"
    return f"{place}: {_said(first)}"


def _said(error: Mapping[str, Any]) -> str:
    """What pydantic found, in the words of this program."""
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "string_pattern_mismatch":
        form = "letters, digits, dots, dashes and underscores, a letter or digit first"
        return f"must be {form}; not {quoted(error['input'])}"
    if error["type"] in ("model_type", "dict_type"):
        return f"must be a mapping of keys, not {quoted(error['input'])}"
    return f"{error['msg'].replace('Input should be', 'must be')}, not {quoted(error['input'])}"


def _allowed(parents: list[str]) -> list[str]:
    """The keys of the section at that place."""
    section: type[BaseModel] | None = Scenario
    for name in parents:
        section = section if name.isdigit() else _section(section, name)
    return list(section.model_fields) if section is not None else []
