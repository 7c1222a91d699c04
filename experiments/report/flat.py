"""Rows of a summary as flat rows of numbers and sentences, for tables and files."""

from collections.abc import Mapping
from typing import Any


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings and join lists of sentences; names of entries are joined, like `accuracy_test_mean`.

    Args:
        row: the row.
        prefix: what every name begins with.
    """
    content: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            content |= flat(value, f"{prefix}{key}_")
        else:
            content[f"{prefix}{key}"] = " ".join(map(str, value)) if isinstance(value, list) else value
    return content
