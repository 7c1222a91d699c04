"""Rows of a summary as flat rows of numbers and sentences, for tables and files."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

#: What a text begins with that spreadsheets take for a formula.
_FORMULAS = ("=", "+", "-", "@")


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


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return flat rows as CSV; a column that a row lacks is empty in it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """Return a cell of a CSV file; text that a spreadsheet would take for a formula begins with a quotation mark."""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in _FORMULAS else value
