"""The page about the keys of a scenario, from its sections and their documentation."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel

from reference_pages.choices import settings_table
from reference_pages.commands import escaped
from rewindnet.experiments.choices import choices_of, type_name
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.scenario.meanings import meanings
from rewindnet.experiments.scenario.overrides import section_of
from rewindnet.experiments.scenario.registries import LISTS
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.sections import Choice

_HEAD = """# Keys of a scenario

A scenario is a YAML file; every key has a default, and an empty file is the demo. `rewindnet list schema` prints a JSON
schema, with which editors complete and check scenarios. [Scenarios and commands](../scenarios.md) explains the keys by
examples.

A section that has a page of choices takes the settings of what it chooses beside its own keys:
`topology: {kind: watts-strogatz, k: 4}`.
"""


_GRAPH_HEAD = """# Keys of a scenario of a graph network

`rewindnet explain` takes scenarios of this kind; every key has a default. [Graph networks](../graph-networks.md) tells
what they mean.
"""


def scenario_page() -> str:
    """Return the page: a table of keys for every section, with sections inside of sections after it."""
    return _HEAD + "\n".join(_section(Scenario, "", 2))


def graph_scenario_page() -> str:
    """Return the page of the scenarios of graph networks."""
    return _GRAPH_HEAD + "\n".join(_section(GraphScenario, "", 2))


def _section(section: type[BaseModel], path: str, level: int) -> Iterator[str]:
    """Return the lines about a section, and about those in it."""
    if path:
        yield from ("", f"{'#' * level} {path}", "", escaped((inspect.getdoc(section) or "").partition("\n")[0]))
    if issubclass(section, Choice):
        what = list_of(section)
        yield from ("", f"What there is to choose, with its settings: [{what}](choices/{what}.md).")
    inner = {name: found for name in section.model_fields if (found := section_of(section, name)) is not None}
    if keys := dict(_keys(section, inner)):
        yield from ("", *settings_table(keys, "key"))
    for name, found in inner.items():
        yield from _section(found, f"{path}.{name}" if path else name, min(level + bool(path), 4))


def _keys(section: type[BaseModel], inner: Mapping[str, type[BaseModel]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each key of a section that is no section, with its type, default and meaning."""
    hints = get_type_hints(section)
    said: dict[str, str] = {}
    for base in reversed(section.__mro__):
        said |= meanings(inspect.getdoc(base) or "")
    for name, field in section.model_fields.items():
        if name in inner or (name == "settings" and issubclass(section, Choice)):
            continue
        meaning = said.get(name, "")
        if issubclass(section, Choice) and name == section.key:
            meaning = f"what is chosen: {', '.join(choices_of(list_of(section)))}"
        about = {"type": type_name(hints[name]), "default": field.default, "required": field.is_required()}
        yield field.alias or name, {**about, "meaning": meaning}


def list_of(section: type[Choice]) -> str:
    """Return the name of the list of what a section chooses from."""
    return next(name for name, kind in LISTS.items() if kind == section.what)
