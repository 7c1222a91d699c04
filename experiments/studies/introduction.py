"""Say what was run in a study: the setting that its runs share, what varies, the releases and the observers."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewindnet.certificates.view import View
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report import words
from rewindnet.experiments.report.columns import on_constants
from rewindnet.experiments.studies.tidy import Row

#: The most values of a setting that are listed.
_LISTED = 8


def introduction(first: RunFolder, keys: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Describe the first run, and what the others do otherwise.

    Args:
        first: a finished run of the study.
        keys: the keys that vary among the runs.
        rows: the tidy table.
    """
    return [
        f"{words.setting(first)} The same holds for every run of this study, but for what varies: "
        f"{_variation(keys, rows)}.",
        *_who(rows),
        "The network must then release models that cannot be distinguished from models that were learned without the "
        "deleted samples. A certificate (ε, δ) bounds how well an observer can distinguish them: the smaller ε, the "
        f"harder it is, ε = 0 is retraining from scratch, and δ, here {_deltas(rows)}, is a small allowance beyond it.",
    ]


def releases(first: RunFolder) -> list[str]:
    """Say what each release of a run did, and what its certificate promises, against which observer."""
    shown = zip(first.summary, first.certified, strict=True)
    return [
        f"{row['method']} {words.account(certificate)}. "
        + (
            "It has no certificate."
            if row["epsilon_certified"] is None
            else f"Its certificate is against {View.of(row['view']).observer_among(first.names)}{_basis(row)}."
        )
        for row, (certificate, _) in shown
    ]


def _basis(row: Mapping[str, Any]) -> str:
    """Say what an ε with noise rests on."""
    if not row["sigma"]:
        return ""
    said = ", for this data and this request alone (†)" if row["data_dependent_noise"] else ""
    said += ", if constants hold that are not proven (*)" if on_constants(row) else ""
    return said or ", whatever was deleted"


def _variation(keys: Sequence[str], rows: Sequence[Row]) -> str:
    """Name the keys that vary, each with its values."""
    listed = []
    for key in keys:
        values = list(dict.fromkeys(str(row[key]) for row in rows))
        some = f"{len(values)} values" if len(values) > _LISTED else "; ".join(values)
        listed.append(f"{key} ({some})")
    return ", ".join(listed)


def _who(rows: Sequence[Row]) -> list[str]:
    """Say how many of the clients were tried as the one that deletes."""
    clients = list(dict.fromkeys(str(row["client"]) for row in rows if row.get("client") is not None))
    nodes = {row["nodes"] for row in rows}
    if len(clients) < 2 or len(nodes) > 1 or len(clients) > _LISTED:
        return []
    return [f"Of the {max(nodes):,} clients, {len(clients)} were tried as the one that deletes: {', '.join(clients)}."]


def _deltas(rows: Sequence[Row]) -> str:
    return " or ".join(dict.fromkeys(f"{row['delta']:g}" for row in rows if row.get("delta")))
