"""Convert values to plain data, as in YAML and JSON: mappings with text keys, lists, text, numbers, booleans, None."""

import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from rewindnet.experiments.scenario.errors import ScenarioError

#: The deepest nesting of mappings and lists in a scenario.
_DEEPEST = 50
#: The largest numbers of characters of a quoted value, and of a whole message.
_QUOTED, _LONGEST = 120, 1_000


def plain_data(value: Any, place: tuple[str, ...] = ()) -> Any:
    """Copy a value from a user as plain data.

    Tuples become lists, paths become text, and scalars of numpy become those of Python.

    Args:
        value: the value.
        place: the keys that lead to it, for the message.

    Returns:
        A deep copy.

    Raises:
        ScenarioError: if the value contains an object of another type, a key that is not text or a whole number with
            too many digits, or is nested too deeply.
    """
    if len(place) > _DEEPEST:
        raise ScenarioError(f"{'.'.join(place[:3])}: is nested more than {_DEEPEST} levels deep")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                where = f" in {'.'.join(place)}" if place else ""
                raise ScenarioError(f"keys are text, not {quoted(key)}{where}")
        return {str(key): plain_data(inner, (*place, str(key))) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(inner, (*place, str(at))) for at, inner in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    _check_scalar(value, place)
    return value


def _check_scalar(value: Any, place: tuple[str, ...]) -> None:
    """Check that a value is text, a number, a boolean or None.

    Raises:
        ScenarioError: if it is not, or has more digits than Python writes.
    """
    where = f"{'.'.join(place)}: " if place else ""
    if not (value is None or isinstance(value, str | int | float)):
        raise ScenarioError(
            f"{where}must be text, a number, true, false, null, a list or a mapping, not {quoted(value)}"
        )
    # A digit takes 3.32 bits.
    if isinstance(value, int) and value.bit_length() > 3.3 * sys.int_info.default_max_str_digits:
        raise ScenarioError(f"{where}is a whole number of too many digits")


def quoted(value: Any) -> str:
    """Return a value for a message: on one line, and of limited length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = f"something of the type {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"


def plain_name(value: Any) -> Any:
    """Return an id as it is given in a scenario: whole numbers and text as they are, other numbers as text."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    return value


def one_line(sentence: str) -> str:
    """Return a message on one line and of limited length; keys and values of a user may contain line breaks."""
    lines = sentence.splitlines()
    sentence = sentence if len(lines) == 1 else " ".join(sentence.split())
    return sentence if len(sentence) <= _LONGEST else sentence[: _LONGEST - 1] + "…"
