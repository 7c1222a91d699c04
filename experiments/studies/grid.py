"""Parse settings with several values each, and list their combinations."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from yaml import safe_dump

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import plain_data
from rewindnet.experiments.scenario.yaml_files import parse_yaml

#: The values of each key, as YAML texts.
Axes = dict[str, list[str]]

_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")


def grid(settings: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """List every combination of the values of several settings.

    Args:
        settings: each `key=value,value`; commas inside brackets and braces belong to a value.

    Returns:
        The keys with several values, or all keys if no key has several; and the combinations, as YAML texts by key.

    Raises:
        ScenarioError: if a setting is not of that form, or a key or a value is given twice.
    """
    axes = axes_of_settings(settings)
    return varying(axes), combinations(axes)


def axes_of_settings(settings: Sequence[str]) -> Axes:
    """Parse settings, each `key=value,value`; `seed=0-4` are five seeds.

    Raises:
        ScenarioError: as `grid` does.
    """
    pairs = [_values(setting) for setting in settings]
    twice = [key for at, (key, _) in enumerate(pairs) if key in [earlier for earlier, _ in pairs[:at]]]
    if twice:
        raise ScenarioError(f"{twice[0]} is given twice; give all of its values at once, like {twice[0]}=a,b")
    return dict(pairs)


def combinations(axes: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """List every combination of values; the last key varies fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def varying(axes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the keys with several values, or all keys if no key has several."""
    return [key for key, values in axes.items() if len(values) > 1] or list(axes)


def folder_name(point: dict[str, str]) -> str:
    """Return a combination as the name of a folder."""
    return ",".join(f"{key}={_plain(value)}" for key, value in point.items())


def value_texts(key: str, values: Iterable[Any]) -> list[str]:
    """Return the values of a key as YAML texts.

    Raises:
        ScenarioError: if there is no value, or one is there twice.
    """
    texts = [value_text(value) for value in values]
    if not texts:
        raise ScenarioError(f"{key} has no values")
    if len(set(texts)) < len(texts):
        raise ScenarioError(f"{key} has a value twice; give each value once")
    return texts


def _values(setting: str) -> tuple[str, list[str]]:
    """Split `key=a,b` into its key and its values, as YAML texts."""
    key, equals, text = setting.partition("=")
    if not equals:
        raise ScenarioError(f"settings are written key=value,value; not {setting!r}")
    values = parse_yaml(f"[{text}]")
    if not isinstance(values, list) or not values:
        raise ScenarioError(f"{key} has no values in {setting!r}")
    if key == "seed":
        values = [seed for value in values for seed in _seeds(value)]
    texts = [value_text(value) for value in values]
    if len(set(map(_plain, texts))) < len(texts):
        raise ScenarioError(f"{key} has a value twice in {setting!r}")
    return key, texts


def _seeds(value: Any) -> Sequence[Any]:
    """Return the seeds of a range like 0-4; another value is one seed, or is found not to be one later."""
    ends = _RANGE.fullmatch(value) if isinstance(value, str) else None
    return [value] if ends is None else range(int(ends[1]), int(ends[2]) + 1)


def value_text(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = safe_dump(plain_data(value), default_flow_style=True, width=10**6)
    return text.strip().removesuffix("...").strip()


def _plain(value: str) -> str:
    """Return a value as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-")
