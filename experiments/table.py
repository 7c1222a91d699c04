"""The table a user sees."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]


def epsilon(value: float | None, reason: str | None = None) -> str:
    """An ε, or a dash where nothing can be claimed."""
    return "—" if value is None else f"{value:.3g}"


def percent(row: Row, which: str) -> str:
    """Mean accuracy over nodes, with the lowest node in brackets."""
    scores = row["accuracy"].get(which)
    return "—" if scores is None else f"{100 * scores['mean']:.1f} ({100 * scores['lowest']:.1f})"


def _audited(row: Row) -> str:
    shown = "∞" if row["epsilon_audited"] is None else epsilon(row["epsilon_audited"])
    return shown if row["holds"] else f"{shown} VIOLATED"


def _share(row: Row, which: str) -> str:
    return f"{100 * row['cost_share'][which]:.0f} %"


#: Heading and content of every column.
COLUMNS: Sequence[tuple[str, Callable[[Row], str]]] = (
    ("method", lambda row: row["method"] + (f" {100 * row['rewind']:.0f} %" if row["method"] == "r2d" else "")),
    ("bound", lambda row: row["bound"] if row["sigma"] or row["epsilon_claimed"] is not None else ""),
    ("noise", lambda row: f"{row['placement']}, {row['allocation']}" if row["sigma"] else "none"),
    ("view", lambda row: row["view"]),
    ("ε claimed", lambda row: epsilon(row["epsilon_claimed"])),
    ("ε sound", lambda row: epsilon(row["epsilon_sound"]) + ("*" if row["conditional"] else "")),
    ("ε audited", _audited),
    ("test %", lambda row: percent(row, "test")),
    ("retain %", lambda row: percent(row, "retain")),
    ("forget %", lambda row: percent(row, "forget")),
    ("σ", lambda row: f"{row['sigma']:.3g}"),
    ("distance", lambda row: f"{row['distance_to_retrained']:.3g}"),
    ("gradients", lambda row: _share(row, "gradients")),
    ("bytes", lambda row: _share(row, "bytes")),
    ("time", lambda row: _share(row, "seconds")),
)


def legend(rows: Sequence[Row]) -> list[str]:
    """What the columns mean, and why a dash is a dash."""
    deltas = sorted({row["delta"] for row in rows})
    lines = [
        f"ε at δ = {', '.join(f'{delta:g}' for delta in deltas)}: claimed by the method's own formula; sound by this "
        "project's accountant; audited on this very pair of runs.",
        "Accuracy: mean over nodes (lowest node). Distance: to the retrained network, at the furthest node. "
        "Gradients, bytes and time: as a share of retraining.",
    ]
    if any(row["conditional"] for row in rows):
        lines.append("* conditional: holds if the estimated or declared constants do.")
    reasons = {f"{row['method']}, {row['view']}": row["reason"] for row in rows if row["reason"]}
    lines += [f"— {who}: {why}." for who, why in reasons.items()]
    return lines


def show(
    rows: Sequence[Row], console: Console, title: str, first: Sequence[tuple[str, Callable[[Row], str]]] = ()
) -> None:
    """Print the table and its legend."""
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    columns = (*first, *COLUMNS)
    for at, (heading, _) in enumerate(columns):
        table.add_column(heading, justify="left" if at < 4 + len(first) else "right", overflow="fold")
    for row in rows:
        style = "bold red" if not row["holds"] else ""
        table.add_row(*(content(row) for _, content in columns), style=style)
    console.print(table)
    for line in legend(rows):
        console.print(line, style="dim", highlight=False)


def markdown(rows: Sequence[Row], first: Sequence[tuple[str, Callable[[Row], str]]] = ()) -> str:
    """The table for a document."""
    columns = (*first, *COLUMNS)
    lines = [[heading for heading, _ in columns], ["---"] * len(columns)]
    lines += [[content(row) for _, content in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
