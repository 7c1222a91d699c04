"""Print one value of a study in rows and columns: the command `rewindnet table`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rewindnet.experiments.console import terminal
from rewindnet.experiments.fitting import print_fitting, print_sentences
from rewindnet.experiments.studies.pivot import Pivot
from rewindnet.experiments.studies.results import load_study, write_table


def show_table(
    folder: Path, rows: str, columns: str, value: str, where: Sequence[str], out: Sequence[Path], wide: bool
) -> None:
    """Print a pivoted table of a study, and write it as LaTeX, Markdown or CSV.

    Args:
        folder: the folder of the study.
        rows: the columns of the tidy table that name a row, joined by commas; the keys that vary by default.
        columns: those that name a column.
        value: the column of the value.
        where: conditions on the results, each `column=value`.
        out: the files to write.
        wide: print all columns, however narrow the terminal is.

    Raises:
        UserError: if the folder is not that of a study, or there is no such column.
    """
    study = load_study(folder)
    table = study.table(_names(rows), _names(columns), value, where)
    write_table(table, out)
    console = terminal(wide=wide)
    print_pivot(table, f"{study.name}: {value}", console)
    if study.unfinished:
        count = len(study.unfinished)
        named = f"{count} runs that are" if count > 1 else "1 run that is"
        print_sentences(console, [f"not in the table: {named} not finished."])


def print_pivot(table: Pivot, title: str, console: Console) -> None:
    """Print a pivoted table and its notes."""
    columns = [(head, [cells[at] for cells in table.cells]) for at, head in enumerate(table.heads)]
    print_fitting(console, title, columns, words=table.heads[: table.labels])
    print_sentences(console, table.notes)
    if any("lowest" in note for note in table.notes):
        print_sentences(console, ["Name more columns in --rows or --cols, or choose with --where, for single values."])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
