"""The JSON schema of a scenario, for editors: from the sections, and from the settings of every registry entry."""

import inspect
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import BaseModel

from rewindnet.experiments.scenario.deletion import RequestSettings
from rewindnet.experiments.scenario.meanings import meanings
from rewindnet.experiments.scenario.overrides import section_of
from rewindnet.experiments.scenario.registries import registry, settings_model
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.sections import Choice, MethodsSection

Schema = dict[str, Any]

#: The section of a study file, which is no section of a scenario.
_STUDY: Schema = {
    "description": "What varies in a study, for `rewindnet sweep`.",
    "type": ["object", "null"],
    "properties": {
        "grid": {
            "description": "The values of each key that varies, like `topology.kind`.",
            "type": "object",
            "additionalProperties": {"type": "array", "minItems": 1},
        },
        "seeds": {
            "description": "The number of seeds, or the seeds.",
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            ],
        },
    },
    "additionalProperties": False,
}


def json_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of scenarios, as files and as plain data.

    What depends on more than one key is left to the program, such as which settings of a method go together.
    """
    schema = schema_of(Scenario, "a scenario of rewindnet")
    schema["properties"]["study"] = _STUDY
    return schema


def schema_of(scenario: type[MethodsSection], title: str) -> Schema:
    """Return the JSON schema of one kind of scenario.

    Args:
        scenario: the kind.
        title: of the schema.
    """
    definitions: Schema = {}
    schema = _section(scenario, definitions)
    for name, inner in schema["properties"].items():
        if section_of(scenario, name) is not None and inner.get("type") != "array":
            # An empty section in YAML is null.
            schema["properties"][name] = {"anyOf": [inner, {"type": "null"}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **schema,
        "$defs": definitions,
    }


def _section(section: type[BaseModel], definitions: Schema) -> Schema:
    """Return the schema of a section."""
    if issubclass(section, Choice):
        return _choice(section, definitions)
    return _mapping(_properties(section, definitions), inspect.getdoc(section))


def _choice(section: type[Choice], definitions: Schema) -> Schema:
    """Return the schema of a section that names a registry entry: its name, or a mapping with its settings."""
    own, choices = _properties(section, definitions), registry(section.what)
    del own["settings"], own[section.key]
    default, kinds, alone = section.model_fields[section.key].default, [], []
    for name in choices:
        model = settings_model(section.what, name)
        settings = _described(model, definitions, inspect.getdoc(choices[name]))
        needed = [setting for setting, field in model.model_fields.items() if field.is_required()]
        alone += [] if needed else [name]
        required = needed if name == default else [section.key, *needed]
        kinds.append(_mapping({section.key: {"const": name}, **own, **settings}, choices.summary(name), required))
    return {"description": _first_line(inspect.getdoc(section)), "anyOf": [{"enum": alone}, *kinds]}


def _properties(section: type[BaseModel], definitions: Schema) -> Schema:
    """Return the schemas of the keys of a section."""
    found = _described(section, definitions, inspect.getdoc(section))
    if issubclass(section, RequestSettings):
        found["client"] = _or_several(found["client"])
    for name, field in section.model_fields.items():
        inner = section_of(section, name)
        if inner is None:
            continue
        schema = _section(inner, definitions)
        listed = name == "unlearning" or get_origin(field.annotation) is tuple
        least = max((getattr(limit, "min_length", 0) for limit in field.metadata), default=0)
        found[name] = {"type": "array", "items": schema, "minItems": least} if listed else schema
        if field.default is None:
            found[name] = {"anyOf": [found[name], {"type": "null"}]}
    return found


def _or_several(client: Schema) -> Schema:
    """Return the schema of a client that asks, or of a list of clients that ask together."""
    said: Schema = {key: client[key] for key in ("description", "default") if key in client}
    one = {key: value for key, value in client.items() if key not in said}
    named: Schema = {"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 1, "uniqueItems": True}
    return {**said, "anyOf": [one, named]}


def _described(model: type[BaseModel], definitions: Schema, documentation: str | None) -> Schema:
    """Return the schemas of the fields of a model, with what the documentation says about each."""
    schema = model.model_json_schema(by_alias=True)
    definitions |= {name: inner for name, inner in schema.get("$defs", {}).items() if name in _SAMPLES}
    said = meanings(documentation or "")
    found = {}
    for name, inner in schema.get("properties", {}).items():
        kept = {key: value for key, value in inner.items() if key != "title"}
        found[name] = {**kept, "description": said[name]} if name in said else kept
    return found


#: The models that are referred to by name: ways to say which samples are deleted.
_SAMPLES = ("ClassOf", "Indices")


def _mapping(properties: Mapping[str, Any], documentation: str | None, required: list[str] | None = None) -> Schema:
    """Return the schema of a mapping that takes no other keys."""
    return {
        "description": _first_line(documentation),
        "type": "object",
        "properties": dict(properties),
        "required": required or [],
        "additionalProperties": False,
    }


def _first_line(documentation: str | None) -> str:
    return (documentation or "").partition("\n")[0]
