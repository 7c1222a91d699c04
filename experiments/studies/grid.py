"""Parse settings with several values each, and list their combinations."""

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

from yaml import safe_dump

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import plain_data
from rewindnet.experiments.scenario.yaml_files import parse_yaml


def grid(settings: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """List every combination of the values of several settings.

    Args:
        settings: each `key=value,value`; commas inside brackets and braces belong to a value.

    Returns:
        The keys with several values, or all keys if no key has several; and the combinations, as YAML texts by key.

    Raises:
        ScenarioError: if a setting is not of that form, or a key or a value is given twice.
    """
    axes = [_values(setting) for setting in settings]
    twice = [key for at, (key, _) in enumerate(axes) if key in [earlier for earlier, _ in axes[:at]]]
    if twice:
        raise ScenarioError(f"{twice[0]} is given twice; give all of its values at once, like {twice[0]}=a,b")
    keys = [key for key, _ in axes]
    points = [dict(zip(keys, values, strict=True)) for values in product(*(values for _, values in axes))]
    return [key for key, values in axes if len(values) > 1] or keys, points


def folder_name(point: dict[str, str]) -> str:
    """Return the name of the run folder of a combination."""
    return ",".join(f"{key}={_plain(value)}" for key, value in point.items())


def _values(setting: str) -> tuple[str, list[Any]]:
    """Split `key=a,b` into its key and its values, as YAML texts."""
    key, equals, text = setting.partition("=")
    if not equals:
        raise ScenarioError(f"settings are written key=value,value; not {setting!r}")
    values = parse_yaml(f"[{text}]")
    if not isinstance(values, list) or not values:
        raise ScenarioError(f"{key} has no values in {setting!r}")
    texts = [value_text(value) for value in values]
    if len(set(map(_plain, texts))) < len(texts):
        raise ScenarioError(f"{key} has a value twice in {setting!r}")
    return key, texts


def value_text(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = safe_dump(plain_data(value), default_flow_style=True, width=10**6)
    return text.strip().removesuffix("...").strip()


def _plain(value: str) -> str:
    """Return a value as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-")
