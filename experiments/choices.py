"""List what a scenario can choose: the kinds, the choices of each, and their settings; the command `rewindnet list`."""

import inspect
import json
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rewindnet.errors import UserError
from rewindnet.experiments.recipes import recipe_texts, summary_of
from rewindnet.experiments.scenario.meanings import meanings
from rewindnet.experiments.scenario.registries import LISTS, registry, type_hints
from rewindnet.registry import did_you_mean

#: The list of the scenarios that ship with the package.
_RECIPES = "recipes"
#: The JSON schemas of a scenario and of one of a graph network, for editors.
_SCHEMA, _GRAPH_SCHEMA = "schema", "graph-schema"


def listing(what: str | None, name: str | None, as_json: bool) -> Iterator[str]:
    """Return the lines of a list.

    Args:
        what: one of `LISTS`, or recipes; None for an overview; schema or graph-schema for a JSON schema of scenarios.
        name: one of the choices of that kind; None for all of them.
        as_json: as one JSON object on one line.

    Raises:
        UserError: if there is no such kind or choice.
    """
    if what in (_SCHEMA, _GRAPH_SCHEMA) and name is None:
        text = json.dumps(_schema(what), ensure_ascii=False, indent=None if as_json else 1, default=str)
        return iter(text.splitlines())
    if what is None:
        found: Mapping[str, Any] = overview()
        lines = _overview_lines(found)
    elif name is None:
        found = summaries(what)
        lines = _columns([[choice, summary] for choice, summary in found.items()])
    elif what == _RECIPES:
        found = {"name": name, "scenario": _recipe(name)}
        lines = iter(found["scenario"].splitlines())
    else:
        found = settings_of(what, name)
        lines = _setting_lines(found)
    return iter([json.dumps(found, ensure_ascii=False, default=str)]) if as_json else lines


def _schema(what: str) -> dict[str, Any]:
    """Return the JSON schema of scenarios, or of those of graph networks."""
    from rewindnet.experiments.explain.scenario import GraphScenario
    from rewindnet.experiments.scenario.json_schema import json_schema, schema_of

    if what == _SCHEMA:
        return json_schema()
    return schema_of(GraphScenario, "a scenario of a graph network of rewindnet")


def overview() -> dict[str, list[str]]:
    """Return the names of all choices, by kind."""
    return {what: list(choices_of(what)) for what in (*LISTS, _RECIPES)}


def choices_of(what: str) -> Mapping[str, Any]:
    """Return a mapping whose keys are the choices of one kind.

    Raises:
        UserError: if there is no such kind.
    """
    if what == _RECIPES:
        return recipe_texts()
    if what not in LISTS:
        kinds = dict.fromkeys((*LISTS, _RECIPES, _SCHEMA, _GRAPH_SCHEMA))
        raise UserError(f"there is no list of {what!r}{did_you_mean(what, kinds)}; there are: {', '.join(kinds)}")
    return registry(LISTS[what])


def summaries(what: str) -> dict[str, str]:
    """Return a sentence about each choice of one kind.

    Raises:
        UserError: if there is no such kind.
    """
    choices = choices_of(what)
    if what == _RECIPES:
        return {name: summary_of(text) for name, text in choices.items()}
    return {name: registry(LISTS[what]).summary(name) for name in choices}


def settings_of(what: str, name: str) -> dict[str, Any]:
    """Return what a choice is, and the type, the default and the meaning of each of its settings.

    Raises:
        UserError: if there is no such kind or choice.
    """
    choices_of(what)
    choices = registry(LISTS[what])
    chosen, parameters = choices[name], choices.settings(name)
    hints, said = type_hints(chosen), meanings(inspect.getdoc(chosen) or "")
    settings = {}
    for setting, parameter in parameters.items():
        required = parameter.default is parameter.empty
        settings[setting] = {
            "type": type_name(hints[setting]),
            "required": required,
            "default": None if required else parameter.default,
            "meaning": said.get(setting, ""),
        }
    return {"kind": choices.kind, "name": name, "summary": choices.summary(name), "settings": settings}


def type_name(hint: Any) -> str:
    """Return a type as a reader of YAML would say it: whole number, text, or the values that are allowed."""
    plain = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "none"}
    if hint in plain:
        return plain[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin is Annotated:
        return type_name(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(type_name, parts)))
    if origin in (list, tuple):
        return f"list of {type_name(parts[0])}" if parts else "list"
    return "mapping" if origin is dict else str(getattr(hint, "__name__", hint))


def _recipe(name: str) -> str:
    """Return the text of a recipe.

    Raises:
        UserError: if there is no recipe of that name.
    """
    texts = recipe_texts()
    if name not in texts:
        raise UserError(f"unknown recipe {name!r}{did_you_mean(name, texts)}; there are: {', '.join(texts)}")
    return texts[name]


def _overview_lines(kinds: Mapping[str, list[str]]) -> Iterator[str]:
    """Return a line for each kind, and how to go on from there."""
    yield from _columns([[what, ", ".join(names)] for what, names in kinds.items()])
    yield (
        "rewindnet list KIND says what each choice does, rewindnet list KIND NAME which settings it has; "
        "rewindnet list schema is the JSON schema of a scenario, graph-schema that of one of a graph network."
    )


def _setting_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Return a line about a choice, and one for each of its settings."""
    yield f"{found['name']}: {found['summary']}"
    if not found["settings"]:
        yield f"This {found['kind']} has no settings."
        return
    rows = [["setting", "type", "default", "meaning"]]
    for setting, about in found["settings"].items():
        default = "required" if about["required"] else _value(about["default"])
        rows.append([setting, about["type"], default, about["meaning"]])
    yield from _columns(rows)


def _value(value: Any) -> str:
    """Return a default as it is written in YAML."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _columns(rows: list[list[str]]) -> Iterator[str]:
    """Return rows as lines whose columns are aligned to the left."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
