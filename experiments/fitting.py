"""Print tables that fit the terminal: columns are left out, in a stated order, until the rest can be read."""

from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.table import Table

#: The width in characters of output that does not go to a terminal, and of output with all columns.
PAGE = 240
#: The characters that a table takes for each column beside its content.
_AROUND = 3


def print_fitting(
    console: Console,
    title: str,
    columns: Sequence[tuple[str, Sequence[str]]],
    expendable: Sequence[str] = (),
    last: Sequence[str] = (),
    words: Collection[str] = (),
    styles: Sequence[str] = (),
) -> None:
    """Print a table, and a line with the columns that do not fit.

    Args:
        console: the console to print on.
        title: the title of the table.
        columns: the heading and the cells of each column.
        expendable: the headings of the columns that may be left out, the first one first.
        last: the headings of the columns that may be left out after those, where headings are on several lines already.
        words: the headings of the columns of words, which are aligned to the left; numbers are aligned to the right.
        styles: the style of each row; none by default.
    """
    widths = fitting_widths(console, columns, expendable, last)
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    shown = [(heading, cells) for heading, cells in columns if heading in widths]
    for heading, _ in shown:
        justify = "left" if heading in words else "right"
        table.add_column(heading, justify=justify, width=widths[heading], overflow="fold")  # type: ignore[arg-type]
    for at in range(len(shown[0][1])):
        table.add_row(*(cells[at] for _, cells in shown), style=styles[at] if styles else "")
    console.print(table)
    left_out = [heading for heading in (*expendable, *last) if heading in dict(columns) and heading not in widths]
    if left_out:
        wider = " (--wide shows them)" if console.width < PAGE else ""
        print_sentences(console, [f"columns that do not fit: {', '.join(left_out)}{wider}"])


def print_sentences(console: Console, sentences: Sequence[str]) -> None:
    """Print sentences, each on a line of its own; a terminal breaks them between words."""
    for sentence in sentences:
        console.print(sentence, style="dim", highlight=False, soft_wrap=not console.is_terminal)


def fitting_widths(
    console: Console, columns: Sequence[tuple[str, Sequence[str]]], expendable: Sequence[str], last: Sequence[str] = ()
) -> dict[str, int]:
    """Return the widths of the columns that fit a console, by heading.

    Where the columns that are not expendable do not fit with their headings on one line, headings are broken between
    words. If what may not be left out does not fit even so, the widest columns share what there is.
    """
    whole = {heading: _width(console, (heading, *cells)) for heading, cells in columns}
    widths = _without(whole, expendable, console.width)
    if _total(widths) <= console.width:
        return widths
    broken = {heading: _width(console, (*heading.split(), *cells)) for heading, cells in columns}
    widths = _without(broken, (*expendable, *last), console.width)
    while _total(widths) > console.width and max(widths.values()) > 1:
        widths[max(widths, key=lambda heading: widths[heading])] -= 1
    return widths


def _without(widths: Mapping[str, int], expendable: Sequence[str], width: int) -> dict[str, int]:
    """Return the widths of columns without as many of the expendable ones as it takes to fit."""
    kept = dict(widths)
    for heading in expendable:
        if _total(kept) <= width:
            break
        kept.pop(heading, None)
    return kept


def _width(console: Console, texts: Sequence[str]) -> int:
    """Return the width of the widest of some texts on a console."""
    return max((console.render_str(text).cell_len for text in texts), default=0)


def _total(widths: Mapping[str, int]) -> int:
    """Return the width of a table."""
    return sum(widths.values()) + _AROUND * len(widths) + 1
