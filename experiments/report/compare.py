"""Compare finished runs side by side: claimed, certified and empirical ε, accuracy and cost of every row."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.report import table
from rewindnet.experiments.report.table import Row
from rewindnet.experiments.scenario.errors import ScenarioError

#: What goes into a CSV file beside the accuracies and the costs.
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
        "holds",
    ),
    *("sensitivity", "divergence", "distance_to_retrained", "simulated_seconds", "reason"),
)


def compare(folders: Sequence[Path], out: Sequence[Path], console: Console) -> None:
    """Print the rows of several runs as one table, and write them as picture, Markdown or CSV, by the file's ending.

    Raises:
        FolderError: if a folder holds no complete run.
        ScenarioError: if a file has another ending, or two runs have the same name and folder name.
    """
    writers = [_writer(path) for path in out]
    rows = rows_of([read_folder(folder) for folder in folders], folders)
    table.show(rows, console, "comparison", _first(rows))
    for path, form in zip(out, writers, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, form(rows))


def rows_of(runs: Sequence[RunFolder], folders: Sequence[Path]) -> list[Row]:
    """The rows of all runs, each with the name of its `run`: the folder's, in full where two have the same.

    Raises:
        ScenarioError: if a folder is given twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ScenarioError("a folder is given twice; each run can be compared once")
    short = [folder.resolve().name for folder in folders]
    names = [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]
    return [{"run": name, **row} for name, run in zip(names, runs, strict=True) for row in run.summary]


def _first(rows: Sequence[Row]) -> Sequence[table.Column]:
    """A column that tells the runs apart, where there are several."""
    return (("run", lambda row: str(row["run"])),) if len({row["run"] for row in rows}) > 1 else ()


def _markdown(rows: Sequence[Row]) -> str:
    """A table for a page of documentation, and its legend."""
    columns = (*_first(rows), *table.columns_of(rows))
    lines = [[heading for heading, _ in columns], ["---"] * len(columns)]
    lines += [[content(row).replace("|", "\\|") for _, content in columns] for row in rows]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return drawn + "\n\n" + "\n".join(f"- {line}" for line in table.legend(rows)) + "\n"


def _csv(rows: Sequence[Row]) -> str:
    """Every number of every row."""
    lines = [{name: row[name] for name in _PLAIN} | _numbers(row) for row in rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _numbers(row: Row) -> dict[str, Any]:
    """What a row has under headings of their own, spread out."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            for key, inner in value.items():
                parts = inner.items() if isinstance(inner, Mapping) else [("", inner)]
                found |= {"_".join(filter(None, (name, key, part))): number for part, number in parts}
    return found


_Writer = Callable[[Sequence[Row]], str | bytes]


def _png() -> _Writer:
    # Imported only where a picture is wanted: it takes a library for drawing.
    from rewindnet.experiments.report.compare_picture import picture

    return picture


#: For each ending of a file, what gives its writer.
_WRITERS: Mapping[str, Callable[[], _Writer]] = {".png": _png, ".md": lambda: _markdown, ".csv": lambda: _csv}


def _writer(path: Path) -> _Writer:
    if path.suffix not in _WRITERS:
        raise ScenarioError(f"--out takes a file ending in {', '.join(_WRITERS)}, not {path.name}")
    return _WRITERS[path.suffix]()
