"""Show tables and reports in notebooks."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.experiments.report import table
from rewindnet.experiments.report.columns import Column, Row, columns_of

Record = dict[str, Any]


class Report(PathLike[str]):
    """A written report: as text it is its path, in a notebook it shows the page.

    Args:
        path: the path of the page.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Report({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Return the page in a frame, so that its style does not affect the notebook."""
        page = escape(self.path.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" width="100%" height="720" style="border: 0"></iframe>'


def data_frame(rows: list[Record]) -> Any:
    """Return rows as a pandas DataFrame, or unchanged if pandas is not installed."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return rows
    return pd.DataFrame(rows)


def html_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table as HTML."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading, _ in columns)
    lines = [[f"<td>{escape(content(row))}</td>" for _, content in columns] for row in rows]
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def summary_html(rows: Sequence[Row], first: Sequence[Column]) -> str:
    """Return the table of the command line and its legend as HTML."""
    legend = "".join(f"<p><small>{escape(line)}</small></p>" for line in table.legend(rows))
    return html_table([*first, *columns_of(rows)], rows) + legend


def at_point(key: str) -> Callable[[Row], str]:
    """Make the content of a column that shows a key of a sweep's grid."""
    return lambda row: str(row["point"][key])


def shown(name: str) -> Callable[[Mapping[str, Any]], str]:
    """Make the content of a column that shows one entry of a row, or a dash for None."""

    def show(row: Mapping[str, Any]) -> str:
        value = row.get(name)
        return "—" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    return show
