"""Print the table of releases, and explain it."""

from collections.abc import Sequence

from rich.console import Console

from rewindnet.certificates.view import View, node_title
from rewindnet.experiments.fitting import print_fitting, print_sentences
from rewindnet.experiments.report import concept_columns, trigger_columns
from rewindnet.experiments.report.columns import (
    EXPENDABLE,
    LAST,
    SETS,
    WORDS,
    Column,
    Row,
    at_request,
    certified,
    certified_epsilon,
    columns_of,
    healed,
    marks,
    share,
    what,
)
from rewindnet.experiments.report.vacuous import vacuous_sentences


def legend(rows: Sequence[Row]) -> list[str]:
    """Explain the columns, and the reason of each dash."""
    deltas = sorted({row["delta"] for row in rows})
    lines = [
        f"ε at δ = {', '.join(f'{delta:g}' for delta in deltas)}: claimed by the method's own formula; certified by "
        "this project's accountant; empirical, of this very pair of runs; lower bound, from samples of the noise. All "
        "compare with retraining on the retained data plus noise of the level that this request calls for; who "
        "deletes, and how many samples, is public.",
        "Accuracy: mean over nodes (lowest node). Distance: to the retrained network, at the furthest node. "
        "Gradients: one for each sample and local step, as a share of those of retraining; + gossip: rounds that "
        "exchange models and read no data. Bytes and time: as a share of retraining. Network time: simulated, on the "
        "scenario's network.",
        *_larger_than_the_model(rows),
    ]
    if any(at_request(row) for row in rows):
        lines.append("Arrived: test accuracy of the models that a later request found, before its release.")
    if any(share(row, "evaluations") for row in rows):
        lines.append(
            "Evaluations: of the gradients of samples, those included by which steps that clip solve their inner "
            "problem, as a share of retraining."
        )
    if any(healed(row) for row in rows):
        lines.append(
            "Retrained alike: test accuracy of retraining that heals in its last rounds as the row does, without "
            "noise. Compare the row with that; its distance is measured to it."
        )
    lines += [trigger_columns.SENTENCE] if any(row.get("triggers") for row in rows) else []
    lines += [concept_columns.SENTENCE] if any(row.get("concepts") for row in rows) else []
    if any(row.get("auc") for row in rows):
        lines.append(
            f"AUC: area under the ROC curve of the two classes, mean over nodes, on {'/'.join(SETS)} samples; 0.5 is "
            "chance."
        )
    if any(row["backdoor"] for row in rows):
        lines.append("Backdoor: triggered test images of other classes that are taken for the target.")
    if any(row["membership"] for row in rows):
        lines.append(
            "MIA: forgotten samples recognised by their loss at 1 % false alarms. MIA-U: area under the curve of an "
            "attack that saw the models before and after; retraining itself gives that away. Both on the average "
            "model: compare with the row of retrain."
        )
    lines += [f"ε claimed, {'; '.join(who)}: {formula}." for formula, who in _formulas(rows).items()]
    lines += _about_certified(rows)
    lines += [f"Premise, {'; '.join(who)}: {sentence}" for sentence, who in _premises(rows).items()]
    reasons = {f"{row['method']}, {row['view']}": row["reason"] for row in rows if row["reason"]}
    lines += [f"— {who}: {why}." for who, why in reasons.items()]
    return lines


def _about_certified(rows: Sequence[Row]) -> list[str]:
    """Name each certified ε that promises nothing, and explain the marks and the audit of the noise."""
    delta = max((row["delta"] for row in rows), default=0.0)
    lines = vacuous_sentences([(f"{what(row)}, {row['view']}", row["epsilon_certified"]) for row in rows], delta)
    if any("†" in certified(row) for row in rows):
        lines.append(
            "† per-instance: computed from measurements of this data and this request. It compares this deletion with "
            "its own retraining; the level of the noise, or ε itself, may tell something about the deleted data."
        )
    lines += _noise_audits(rows)
    if any("*" in certified(row) for row in rows):
        lines.append("* conditional: holds if the estimated or declared constants do.")
    return lines


def _larger_than_the_model(rows: Sequence[Row]) -> list[str]:
    """Name the rows whose noise moved the median model further from the retrained one than that is from 0."""
    ruined: dict[str, list[float]] = {}
    for row in rows:
        if row["sigma"] and (row.get("distance_to_norm") or 0) >= 1:
            ratios = ruined.setdefault(f"{what(row)}, {row['view']}", [])
            ratios += [row["noise_to_norm"]] if row["noise_to_norm"] else []
    if not ruined:
        return []
    named = "; ".join(f"{who}{_times_the_norm(ratios)}" for who, ratios in ruined.items())
    return [
        f"Noise larger than the model: {named}. At the median node the noise moved the released model "
        "further from the retrained one than the norm ‖θ‖ of the retrained one: compare its accuracy with retraining."
    ]


def _times_the_norm(ratios: Sequence[float]) -> str:
    """Say how often the norm of the model goes into that of the noise, over all rows of a name."""
    if not ratios:
        return ""
    lowest, highest = f"{min(ratios):.3g}", f"{max(ratios):.3g}"
    return f" (σ·√d is {lowest if lowest == highest else f'{lowest} to {highest}'} times ‖θ‖)"


def _premises(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the premises of the rows, each with the rows that have it; the one behind † has a line of its own."""
    lines: dict[str, list[str]] = {}
    for row in rows:
        for sentence in row["premises"]:
            if row["epsilon_certified"] is not None and not sentence.startswith("The guarantee is per-instance"):
                names = lines.setdefault(sentence, [])
                names += [what(row)] * (what(row) not in names)
    return lines


def _noise_audits(rows: Sequence[Row]) -> list[str]:
    """Return what was found of the noise that each release added, in as few lines as it takes."""
    holding = sum(row.get("noise_audit") == "holds" for row in rows)
    noisy = sum(row.get("noise_audit", "no noise") != "no noise" for row in rows)
    lines = (
        [f"The noise that was added, measured: as certified in {holding} of {noisy} rows with noise."] if noisy else []
    )
    for row in rows:
        if row.get("noise_audit") in ("violated", "unchecked"):
            mark = "‡ noise unchecked" if row["noise_audit"] == "unchecked" else "Noise VIOLATED"
            lines.append(f"{mark}, {row['method']}, {row['view']}: {row['noise_audit_reason']}.")
    return lines


def _formulas(rows: Sequence[Row]) -> dict[str, list[str]]:
    """List, for each formula of a claimed ε, the methods that use it."""
    methods: dict[str, list[str]] = {}
    for row in rows:
        if row["claimed_by"] and row["epsilon_claimed"] is not None:
            names = methods.setdefault(row["claimed_by"], [])
            names += [what(row)] * (what(row) not in names)
    return methods


def composition_sentences(compositions: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """Return a sentence about the (ε, δ) of all releases of each method together.

    Args:
        compositions: one for each method.
        rows: the rows of the table, those of the first request first.
    """
    subjects = [f"{what(row)}, {row['view']}{_bound(row)}" for row in rows[: len(compositions)]]
    sentences = []
    for at, entry in enumerate(compositions):
        # Methods that differ in nothing else are told apart by their noise.
        alike, row = subjects.count(subjects[at]) > 1, rows[at]
        noise = f", noise {row['noise']}, σ = {row['sigma']:.3g}" if alike else ""
        claim = (
            f"ε {certified_epsilon(entry['epsilon'])}{marks(rows[at :: len(compositions)])} at δ = {entry['delta']:g}"
            if entry["epsilon"] is not None
            else f"—, {entry['reason']}"
        )
        sentences.append(f"{subjects[at]}{noise}: an observer of all of its releases: {claim}.")
    return sentences


def _bound(row: Row) -> str:
    return f", {row['bound']} bound" if row["sigma"] else ""


def views_named(rows: Sequence[Row], names: Sequence[str] | None) -> list[str]:
    """Return a line that names the nodes of the views of these rows; none where no view is of a node with a name."""
    views = dict.fromkeys(View.of(row["view"]) for row in rows)
    named = [f"{view} is of {node_title(view.node, names)}" for view in views if view.node is not None]
    return [f"{'; '.join(named)}."] if names and named else []


def print_table(
    rows: Sequence[Row],
    console: Console,
    title: str,
    first: Sequence[Column] = (),
    names: Sequence[str] | None = None,
) -> None:
    """Print the table and its legend; on a narrow terminal, only the most important columns.

    Args:
        rows: the rows of the table.
        console: the console to print on.
        title: the title of the table.
        first: columns before all others.
        names: the names of the nodes, in order; None if they have none.
    """
    shown = [(heading, [content(row) for row in rows]) for heading, content in (*first, *columns_of(rows))]
    words = {*WORDS, *(heading for heading, _ in first)}
    styles = ["" if row["holds"] else "bold red" for row in rows]
    print_fitting(console, title, shown, EXPENDABLE, LAST, words, styles)
    print_sentences(console, [*legend(rows), *views_named(rows, names)])
