"""Compare runs side by side: the claimed, certified and empirical ε of each release, and its accuracy and cost."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from rich.console import Console

from rewindnet.errors import notice
from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.folder.whole import read_whole
from rewindnet.experiments.plain_text import visible
from rewindnet.experiments.report import table
from rewindnet.experiments.report.columns import Column, Row, columns_of
from rewindnet.experiments.report.flat import csv_text, flat
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.inputs import InputFile, recorded_inputs, sha256_of

#: The columns of a CSV file besides the accuracies and the costs.
_PLAIN = (
    *(
        "run",
        "index",
        "method",
        "variant",
        "mechanism",
        "view",
        "bound",
        "placement",
        "allocation",
        "gossip_rounds",
        "rewind",
        "rounds",
        "sigma",
    ),
    *(
        "delta",
        "epsilon_claimed",
        "epsilon_certified",
        "epsilon_empirical",
        "epsilon_lower_bound",
        "conditional",
        "data_dependent_noise",
        "holds",
    ),
    *("sensitivity", "divergence", "distance_to_retrained", "simulated_seconds", "reason"),
)


def compare(folders: Sequence[Path], out: Sequence[Path], console: Console) -> None:
    """Print the releases of several runs as one table, and write them as a picture, Markdown or CSV.

    Args:
        folders: the run folders.
        out: the files to write; the ending of each says in which format.
        console: the console to print on.

    Raises:
        FolderError: if a folder holds no complete run.
        ScenarioError: if a file has another ending, a folder is given twice, or runs read a file that has changed
            between them.
    """
    writers = [_writer(path) for path in out]
    for path in out:
        check_writable(path)
    runs = [read_whole(folder) for folder in folders]
    rows = rows_of(runs, folders)
    _demand_same_inputs(runs)
    table.print_table(rows, console, "comparison", _first(rows))
    for path, form in zip(out, writers, strict=True):
        write(path, form(rows))


def rows_of(runs: Sequence[RunFolder], folders: Sequence[Path]) -> list[Row]:
    """List the rows of all runs, each with the name of its run: the name of the folder, or its path if names repeat.

    Raises:
        ScenarioError: if a folder is given twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ScenarioError("a run folder is given twice; give each run folder once")
    short = [folder.resolve().name for folder in folders]
    names = [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]
    return [{"run": name, **row} for name, run in zip(names, runs, strict=True) for row in run.summary]


def _demand_same_inputs(runs: Sequence[RunFolder]) -> None:
    """Refuse runs that read the same file with different content, and say which files have changed since.

    Raises:
        ScenarioError: if there are such runs; the message has both hashes.
    """
    read: dict[str, tuple[Path, InputFile]] = {}
    for run in runs:
        for key, file in recorded_inputs(run.record).items():
            first, before = read.setdefault(file.path, (run.path, file))
            if before.sha256 != file.sha256:
                raise ScenarioError(
                    f"{first} and {run.path} read other data: the sha256 of {key} {file.path} was {before.sha256} for "
                    f"the first and {file.sha256} for the second; run one of them again"
                )
    for reader, file in read.values():
        now = sha256_of(Path(file.path))
        if now not in (None, file.sha256):
            notice(f"{file.path} has changed since {reader} read it: its sha256 was {file.sha256} and is {now} now")


def _first(rows: Sequence[Row]) -> Sequence[Column]:
    """Return a column with the name of the run, if there are several runs."""
    return (("run", lambda row: str(row["run"])),) if len({row["run"] for row in rows}) > 1 else ()


def _markdown(rows: Sequence[Row]) -> str:
    """Return the table and its legend as Markdown."""
    columns = (*_first(rows), *columns_of(rows))
    lines = [[heading for heading, _ in columns], ["---"] * len(columns)]
    lines += [[markdown_text(content(row)) for _, content in columns] for row in rows]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return drawn + "\n\n" + "\n".join(f"- {markdown_text(line)}" for line in table.legend(rows)) + "\n"


def markdown_text(text: str) -> str:
    """Return text for a cell or a line of Markdown, in which it is shown as it is: no HTML, no links, no emphasis."""
    text = escape(visible(text), quote=False)
    return re.sub(r"([\\`*_\[\]|$])", r"\\\1", text)


def _csv(rows: Sequence[Row]) -> str:
    """Return every number of every row as CSV."""
    nested = [{name: value for name, value in row.items() if isinstance(value, Mapping)} for row in rows]
    lines = [{name: row[name] for name in _PLAIN} | flat(inner) for row, inner in zip(rows, nested, strict=True)]
    return csv_text(lines)


_Writer = Callable[[Sequence[Row]], str | bytes]


def _png() -> _Writer:
    """Return the writer of pictures; it needs matplotlib, so it is imported only for a picture."""
    from rewindnet.experiments.report.compare_picture import picture

    return picture


#: For each ending of a file, a function that returns its writer.
_WRITERS: Mapping[str, Callable[[], _Writer]] = {".png": _png, ".md": lambda: _markdown, ".csv": lambda: _csv}


def _writer(path: Path) -> _Writer:
    """Return the writer for a file.

    Raises:
        ScenarioError: if there is no writer for its ending.
    """
    if path.suffix not in _WRITERS:
        raise ScenarioError(f"--out takes a file ending in {', '.join(_WRITERS)}, not {path.name}")
    return _WRITERS[path.suffix]()
