"""Override single keys of a scenario, like `topology.kind=ring`."""

from typing import Any, get_args

from pydantic import BaseModel

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import quoted
from rewindnet.experiments.scenario.registries import settings_model
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.sections import Choice, MethodsSection
from rewindnet.experiments.scenario.yaml_text import parse_yaml


def split_override(text: str) -> tuple[list[str], Any]:
    """Split `a.b=value` into its path and its YAML value.

    Raises:
        ScenarioError: if the text is not of that form.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ScenarioError(f"settings are written key=value, like topology.kind=ring; not {quoted(text)}")
    return split_key(key), parse_yaml(value)


def split_key(key: str) -> list[str]:
    """Split `a.b` into its parts.

    Raises:
        ScenarioError: if a part is empty.
    """
    if not all(key.split(".")):
        raise ScenarioError(f"settings are written key=value, like topology.kind=ring; not {quoted(key + '=…')}")
    return key.split(".")


def override(raw: dict[str, Any], path: list[str], value: Any, root: type[MethodsSection] = Scenario) -> None:
    """Set one key of a scenario's plain data, in place.

    If an override names another entry of a registry (`topology.kind=ring`), settings that it does not take are removed.

    Args:
        raw: the plain data; sections that it lacks are added.
        path: the names and list positions that lead to the key.
        value: plain data.
        root: the kind of scenario.

    Raises:
        ScenarioError: if the path leads through a value that is not a section, or to an entry that a list lacks.
    """
    if path[0] == "unlearning" and "unlearning" not in raw:
        raw["unlearning"] = [dict(method) for method in root.default_methods]
    here, section = _parent(raw, path, root)
    if isinstance(here, list):
        here[_index(path[-1], len(here), path)] = value
        return
    if section is not None and issubclass(section, Choice) and path[-1] == section.key:
        _drop_old_settings(here, section, value)
    here[path[-1]] = value


def _parent(raw: dict[str, Any], path: list[str], root: type[BaseModel]) -> tuple[Any, type[BaseModel] | None]:
    """Return the mapping or list that contains the last part of a path, and its section; None if it is no section."""
    here: Any = raw
    section: type[BaseModel] | None = root
    for at, name in enumerate(path[:-1]):
        key: Any = _index(name, len(here), path) if isinstance(here, list) else name
        if isinstance(here, dict):
            section = section_of(section, name)
            if here.get(name) is None and (section is not None or name not in here):
                here[name] = {}
        if isinstance(here[key], str) and section is not None and issubclass(section, Choice):
            here[key] = {section.key: here[key]}
        here = here[key]
        if not isinstance(here, dict | list):
            raise ScenarioError(f"{'.'.join(path[: at + 1])} is not a section, so {'.'.join(path)} cannot be set")
    return here, section


def _drop_old_settings(here: dict[str, Any], section: type[Choice], value: Any) -> None:
    """Remove settings of the previous entry that the new one does not take."""
    before = here.get(section.key, section.model_fields[section.key].default)
    old, new = (set(settings_model(section.what, name).model_fields) for name in (before, value))
    for setting in old - new - set(section.model_fields):
        here.pop(setting, None)


def section_of(section: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    """Return the section at a key of another section; None if the key is not that of a section."""
    field = section.model_fields.get(name) if section is not None else None
    kind = field.annotation if field is not None else None
    sections = [part for part in (kind, *get_args(kind)) if isinstance(part, type) and issubclass(part, BaseModel)]
    return sections[0] if len(sections) == 1 else None


def _index(name: str, length: int, path: list[str]) -> int:
    """Parse the position of an entry of a list.

    Raises:
        ScenarioError: if the list has no such entry.
    """
    if not (name.isascii() and name.isdigit()) or len(name) > 18 or int(name) >= length:
        raise ScenarioError(f"{'.'.join(path)}: the list has the entries 0 to {length - 1}, not {name}")
    return int(name)
