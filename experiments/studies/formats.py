"""Write a pivoted table as Markdown, LaTeX or CSV."""

from collections.abc import Callable, Mapping
from pathlib import Path

from rewindnet.experiments.report.compare import markdown_text
from rewindnet.experiments.report.flat import csv_text
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.studies.pivot import Pivot

#: What LaTeX reads as something else, and how it is written there.
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "*": r"$^{*}$",
    "…": r"\dots{}",
    "—": "---",
    "∞": r"$\infty$",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
    "σ": r"$\sigma$",
}


def markdown(table: Pivot) -> str:
    """Return a table and its notes as Markdown."""
    lines = [table.heads, ["---"] * table.labels + ["---:"] * (len(table.heads) - table.labels), *table.cells]
    drawn = [
        f"| {' | '.join(cells)} |"
        for cells in (lines[1] if at == 1 else map(markdown_text, line) for at, line in enumerate(lines))
    ]
    return "\n".join(drawn) + "\n\n" + "".join(f"- {markdown_text(note)}\n" for note in table.notes)


def latex(table: Pivot) -> str:
    """Return a table as LaTeX, for the package booktabs; its notes are comments."""
    columns = "l" * table.labels + "r" * (len(table.heads) - table.labels)
    lines = [" & ".join(map(latex_text, cells)) + r" \\" for cells in (table.heads, *table.cells)]
    notes = [f"% {' '.join(note.split())}" for note in table.notes]
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([*notes, *body, r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    """Return text as LaTeX shows it."""
    return "".join(_LATEX.get(character, character) for character in text)


def csv(table: Pivot) -> str:
    """Return a table as CSV."""
    return csv_text([dict(zip(table.heads, cells, strict=True)) for cells in table.cells])


#: The writer for each ending of a file.
WRITERS: Mapping[str, Callable[[Pivot], str]] = {".md": markdown, ".tex": latex, ".csv": csv}


def writer_of(path: Path) -> Callable[[Pivot], str]:
    """Return the writer for a file.

    Raises:
        ScenarioError: if there is none for its ending.
    """
    if path.suffix not in WRITERS:
        raise ScenarioError(f"--out takes a file ending in {', '.join(WRITERS)}, not {path.name}")
    return WRITERS[path.suffix]
