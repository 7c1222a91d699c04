"""Turn validation errors of pydantic into one sentence that a user can act on."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from rewindnet.experiments.scenario.errors import UnknownKeyError
from rewindnet.experiments.scenario.overrides import section_of
from rewindnet.experiments.scenario.places import where_it_belongs
from rewindnet.experiments.scenario.plain_data import quoted
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.registry import did_you_mean

#: Keys by which a scenario is known to be one of a graph network.
GRAPH_KEYS = ("verifiers",)


def sentence_about(problem: ValidationError, root: type[BaseModel] = Scenario) -> str:
    """Describe the first error of a validation: where it is, what was given and what is allowed.

    Args:
        problem: the error.
        root: the kind of scenario.
    """
    first = problem.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, key = [str(part) for part in first["loc"]]
        return str(unknown_key(parents, key, root))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ValidationError):
        inner = cause.errors()[0]
        return f"{place}.{'.'.join(map(str, inner['loc']))}: {_reason(inner)}"
    if isinstance(cause, UnknownKeyError):
        guess = cause.guess or where_it_belongs(cause.key)
        return f"{place}: {UnknownKeyError(cause.key, cause.where, guess, cause.allowed)}"
    if isinstance(cause, ValueError):
        return f"{place}: {cause}"
    return f"{place}: {_reason(first)}"


def unknown_key(parents: list[str], key: str, root: type[BaseModel] = Scenario) -> UnknownKeyError:
    """Return the error about a key that the section at a path does not take."""
    allowed = _allowed(parents, root)
    if root is Scenario and not parents and key in GRAPH_KEYS:
        return UnknownKeyError(
            key, "in the scenario", "; scenarios of graph networks are for rewindnet explain", allowed
        )
    guess = did_you_mean(key, dict.fromkeys(allowed)) or where_it_belongs(key, similar=not parents)
    return UnknownKeyError(key, f"in {'.'.join(parents) or 'the scenario'}", guess, allowed)


def _reason(error: Mapping[str, Any]) -> str:
    """Describe what is wrong with a value."""
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "string_pattern_mismatch":
        form = "letters, digits, dots, dashes and underscores, a letter or digit first"
        return f"must be {form}; not {quoted(error['input'])}"
    if error["type"] in ("model_type", "dict_type"):
        return f"must be a mapping of keys, not {quoted(error['input'])}"
    guess = ""
    if error["type"] == "literal_error":
        guess = did_you_mean(error["input"], dict.fromkeys(re.findall(r"'([^']*)'", error["ctx"]["expected"])))
    return f"{error['msg'].replace('Input should be', 'must be')}, not {quoted(error['input'])}{guess}"


def _allowed(parents: list[str], root: type[BaseModel]) -> list[str]:
    """Return the keys of the section at a path."""
    section: type[BaseModel] | None = root
    for name in parents:
        section = section if name.isdigit() else section_of(section, name)
    return list(section.model_fields) if section is not None else []
