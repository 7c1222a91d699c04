"""The columns of the table of releases: what each cell says of a row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewindnet.certificates.digits import rounded_up
from rewindnet.clients.methods import rewinds
from rewindnet.experiments.report import concept_columns, trigger_columns

Row = Mapping[str, Any]

#: The sets that areas under the curve are shown on, in this order.
SETS = ("test", "retain", "forget")


def epsilon(value: float | None) -> str:
    """Format an ε; a dash for None."""
    return "—" if value is None else f"{value:.3g}"


def certified_epsilon(value: float | None) -> str:
    """Format a certified ε, rounded up; a dash for None."""
    return "—" if value is None else rounded_up(value)


def percent(row: Row, which: str) -> str:
    """Format an accuracy: the mean over nodes, and the lowest node in brackets."""
    scores = row["accuracy"].get(which)
    return "—" if scores is None else f"{100 * scores['mean']:.1f} ({100 * scores['lowest']:.1f})"


def _areas(row: Row) -> str:
    """Format the areas under the curve of a task with two classes, the means over nodes; of other tasks nothing."""
    found = row.get("auc")
    return "/".join(f"{found[of]['mean']:.2f}" if of in found else "—" for of in SETS) if found else ""


def at_request(row: Row) -> str:
    """Format the accuracy of the models that a later request found; those of the first are the same for all methods."""
    found = row.get("accuracy_at_request") if row.get("request") else None
    return "" if found is None else f"{100 * found['mean']:.1f} ({100 * found['lowest']:.1f})"


def certified(row: Row) -> str:
    """Return the certified ε with its marks."""
    value = row["epsilon_certified"]
    return certified_epsilon(value) + ("" if value is None else marks([row]))


def marks(rows: Sequence[Row]) -> str:
    """Return † where the noise of a row depends on the data, * where a row is conditional on constants.

    Args:
        rows: rows with a certified ε, of a summary or of a tidy table.
    """
    dependent = any(row.get("data_dependent_noise") for row in rows)
    return "†" * dependent + "*" * any(map(on_constants, rows))


def on_constants(row: Row) -> bool:
    """Return whether a certificate holds only if constants do; `conditional` includes those for one data set alone."""
    return bool(row.get("conditional") and (row.get("doubtful_constants") or not row.get("data_dependent_noise")))


def _empirical(row: Row) -> str:
    shown = "∞" if row["epsilon_empirical"] is None else epsilon(row["epsilon_empirical"])
    if row.get("noise_audit") == "unchecked":
        # Runs that were recorded before the noise was audited have no such entry.
        shown += "‡"
    return shown if row["holds"] else f"{shown} VIOLATED"


def healed(row: Row) -> str:
    """Format the test accuracy of retraining that heals as a row does; of a row that does not, nothing."""
    scores = row.get("accuracy_healed")
    return f"{100 * scores['test']['mean']:.1f} ({100 * scores['test']['lowest']:.1f})" if scores else ""


def share(row: Row, which: str) -> str:
    """Format a cost as a share of that of retraining; of what was not counted, nothing."""
    cost = row["cost_share"].get(which)
    return "" if cost is None else f"{100 * cost:.0f} %"


def _gradients(row: Row) -> str:
    """Format the share of retraining's gradients, and how many rounds besides read no data."""
    gossip = row.get("cost_gossip_rounds")
    return share(row, "gradients") + (f" + {gossip} gossip" if gossip else "")


def what(row: Row) -> str:
    """Return the method of a row with its rewind depth and its variant."""
    depth = f" {100 * row['rewind']:.3g} %" if rewinds(row["method"]) else ""
    return str(row["method"]) + depth + (f", {row['variant']}" if row["variant"] else "")


def _chance(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f}"


def _area(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return f"{value:.2g}" if value else ""


Column = tuple[str, Callable[[Row], str]]

#: Heading and content of every column.
COLUMNS: Sequence[Column] = (
    ("method", what),
    ("bound", lambda row: row["bound"] if row["sigma"] or row["epsilon_claimed"] is not None else ""),
    ("noise", lambda row: str(row["noise"])),
    ("view", lambda row: row["view"]),
    ("ε claimed", lambda row: epsilon(row["epsilon_claimed"])),
    ("ε certified", certified),
    ("ε empirical", _empirical),
    ("ε lower bound", lambda row: "" if row["epsilon_lower_bound"] is None else epsilon(row["epsilon_lower_bound"])),
    ("arrived %", at_request),
    ("test %", lambda row: percent(row, "test")),
    ("retrained alike %", healed),
    ("retain %", lambda row: percent(row, "retain")),
    ("forget %", lambda row: percent(row, "forget")),
    ("in templates %", trigger_columns.in_templates),
    ("gap by hop %", trigger_columns.gap_by_hop),
    *concept_columns.COLUMNS,
    ("AUC", _areas),
    ("backdoor %", lambda row: _chance(row["backdoor"] and row["backdoor"]["without_target"]["mean"])),
    ("MIA %", lambda row: _chance(row["membership"] and row["membership"]["loss"]["tpr_at_1_fpr"]["average_model"])),
    ("MIA-U", lambda row: _area(row["membership"] and row["membership"]["mia_u"]["auc"]["average_model"])),
    ("σ", lambda row: f"{row['sigma']:.3g}"),
    ("σ√d/‖θ‖", lambda row: _ratio(row.get("noise_to_norm"))),
    ("distance", lambda row: f"{row['distance_to_retrained']:.3g}"),
    ("gradients", _gradients),
    ("evaluations", lambda row: share(row, "evaluations")),
    ("bytes", lambda row: share(row, "bytes")),
    ("time", lambda row: share(row, "seconds")),
    ("network time", lambda row: f"{row['simulated_seconds']:.3g} s"),
)
WORDS = ("method", "bound", "noise", "view")
#: The columns that are left out on a narrow terminal, in this order.
EXPENDABLE = (
    *(
        "MIA-U",
        "MIA %",
        "evaluations",
        "time",
        "bytes",
        "network time",
        "retain AUC",
        "retain %",
        "σ√d/‖θ‖",
        "σ",
        "ε lower bound",
        "backdoor %",
    ),
    *(
        "distance",
        "AUC",
        "gap by hop %",
        "C-Dis",
        "diversity %",
        "multi-hop %",
        "forget %",
        "arrived %",
        "retrained alike %",
        "noise",
        "bound",
        "gradients",
        "ε claimed",
    ),
)
#: Those that are left out after them.
LAST = ("ε empirical", "view")


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """Return the columns that are not empty in all of these rows."""
    return [(heading, content) for heading, content in COLUMNS if any(content(row) for row in rows)]
