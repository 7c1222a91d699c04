"""Which method of a run is best: the most accurate at the ε that was asked for, and what needs no noise."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewindnet.certificates.view import View
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.clients.methods.retrain_healed import RetrainHealed
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.columns import on_constants


def asked_epsilon(run: RunFolder) -> float:
    """Return the largest ε that the scenario asks for, or else the largest that a method claims, or else 1."""
    named = [method["epsilon"] for method in run.scenario["unlearning"] if method.get("epsilon") is not None]
    claimed = [row["epsilon_claimed"] for row in run.summary if row["epsilon_claimed"]]
    return float(max(named or claimed or [1.0]))


def best_said(run: RunFolder) -> str:
    """Name the most accurate method that reaches the ε of the scenario unconditionally, then the one that may not."""
    wanted, names = asked_epsilon(run), run.names
    able = _able(run)
    if not able:
        return f"{no_other(run)} reaches ε = {wanted:g}.{_exact(run)}"
    proven = [row for row in able if not row["conditional"]]
    if proven:
        said = f"At ε ≤ {wanted:g}, whatever was deleted, the most accurate is {_most_accurate(proven, names)}"
    else:
        said = f"{no_other(run)} reaches ε = {wanted:g} unconditionally"
    doubtful = [row for row in able if on_constants(row)]
    others = [row for row in able if row["conditional"] and row not in doubtful]
    for rows, basis in (
        (others, "for this data and this request alone (†)"),
        (doubtful, "conditionally (*), if constants hold that are not proven"),
    ):
        if rows:
            which = "it" if proven else "the most accurate"
            said += f". {basis[0].upper()}{basis[1:]}, {which} is {_most_accurate(rows, names)}"
    return f"{said}.{_exact(run)}"


def _able(run: RunFolder) -> list[Mapping[str, Any]]:
    """List the rows that reach the ε of the scenario with noise, for something that a deletion changes."""
    wanted = asked_epsilon(run)
    return [row for row in run.summary if _reaches(row, wanted) and row["sensitivity"] != 0]


def no_other(run: RunFolder) -> str:
    """Return the beginning of a sentence about methods that take more than ε = 0 and are all out of reach."""
    return "No method that read the deleted data" if _without_reading(run) else "No method but retraining"


def _without_reading(run: RunFolder) -> list[Mapping[str, Any]]:
    """List the rows, but those of retraining, that no deletion changes: they have ε = 0 without noise."""
    return [
        row
        for row in run.summary
        if row["sensitivity"] == 0 and _reaches(row, 0) and row["method"] not in (Retrain.name, RetrainHealed.name)
    ]


def _exact(run: RunFolder) -> str:
    """Say what is reached by retraining, which every method is measured against, and without the deleted data."""
    said, retrained = "", [row for row in run.summary if row["method"] == Retrain.name]
    if retrained:
        said += f" Retraining reaches {100 * _accuracy(retrained[0]):.1f} %."
    if others := _without_reading(run):
        most = _who(max(others, key=_accuracy))
        said += f" Of what keeps nothing that the deleted data changed, and has ε = 0, {most} is the most accurate."
    return said


def best(run: RunFolder) -> Mapping[str, Any] | None:
    """Return the row of the most accurate release that reaches the ε of the scenario, unconditionally if one does.

    Retraining does not count; None if no other method reaches it.
    """
    able = _able(run)
    return max([row for row in able if not row["conditional"]] or able, key=_accuracy, default=None)


def _most_accurate(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> str:
    """Name the most accurate of several rows, and of those that are certified against an observer of messages."""
    best = max(rows, key=_accuracy)
    said = f"{_who(best)}, certified against {View.of(best['view']).observer_among(names)}"
    hidden = [row for row in rows if row["view"].startswith("transcript")]
    if hidden and best not in hidden:
        strongest = max(hidden, key=_accuracy)
        said += f"; against {View.of(strongest['view']).observer_among(names)} it is {_who(strongest)}"
    return said


def _reaches(row: Mapping[str, Any], wanted: float) -> bool:
    return row["epsilon_certified"] is not None and row["epsilon_certified"] <= wanted * (1 + 1e-9)


def _accuracy(row: Mapping[str, Any]) -> float:
    return float(row["accuracy"]["test"]["mean"])


def _who(row: Mapping[str, Any]) -> str:
    if row["sensitivity"] == 0:
        return f"method {row['index']} ({row['method']}) with {100 * _accuracy(row):.1f} %"
    depth = f" at {100 * row['rewind']:.3g} % rewind" if row["rewind"] else ""
    return f"method {row['index']} ({row['method']}{depth}, {row['bound']} bound) with {100 * _accuracy(row):.1f} %"
