"""A chart: what is drawn, as plain JSON."""

from math import isfinite
from typing import Any, NamedTuple


class Chart(NamedTuple):
    """What a chart draws.

    Attributes:
        kind: the script that draws it, `charts/<kind>.js`.
        name: a name that is unique on its page.
        description: the label for screen readers.
        data: its content, as plain JSON.
    """

    kind: str
    name: str
    description: str
    data: dict[str, Any]


def finite(value: float | None) -> float | None:
    """Return a number for JSON; None where it is not finite."""
    return None if value is None or not isfinite(value) else float(value)


def digits(value: float) -> float:
    """Return a number with six digits, which is as many as a chart shows."""
    return float(f"{value:.6g}")
