"""Turn validation errors of pydantic into one sentence that a user can act on."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from rewindnet.experiments.scenario.overrides import section_of
from rewindnet.experiments.scenario.plain_data import quoted
from rewindnet.experiments.scenario.scenario import Scenario


def sentence_about(problem: ValidationError) -> str:
    """Describe the first error of a validation: where it is, what was given and what is allowed."""
    first = problem.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, key = [str(part) for part in first["loc"]]
        return f"unknown key {key!r} in {'.'.join(parents) or 'the scenario'}; allowed: {', '.join(_allowed(parents))}"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ValidationError):
        inner = cause.errors()[0]
        return f"{place}.{'.'.join(map(str, inner['loc']))}: {_reason(inner)}"
    if isinstance(cause, ValueError):
        return f"{place}: {cause}"
    return f"{place}: {_reason(first)}"


def _reason(error: Mapping[str, Any]) -> str:
    """Describe what is wrong with a value."""
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "string_pattern_mismatch":
        form = "letters, digits, dots, dashes and underscores, a letter or digit first"
        return f"must be {form}; not {quoted(error['input'])}"
    if error["type"] in ("model_type", "dict_type"):
        return f"must be a mapping of keys, not {quoted(error['input'])}"
    return f"{error['msg'].replace('Input should be', 'must be')}, not {quoted(error['input'])}"


def _allowed(parents: list[str]) -> list[str]:
    """Return the keys of the section at a path."""
    section: type[BaseModel] | None = Scenario
    for name in parents:
        section = section if name.isdigit() else section_of(section, name)
    return list(section.model_fields) if section is not None else []
