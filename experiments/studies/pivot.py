"""Pivot the results of a study: one value in a grid of rows and columns, with its spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rewindnet.experiments.report.columns import marks
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.studies.spread import certified_text, number, spread
from rewindnet.experiments.studies.tidy import Row
from rewindnet.registry import did_you_mean

#: Columns that seeds decide, and those that name a row; cells may differ in them.
_SEED = "seed"
#: What tells two rows of one run apart.
_PARTS = ("request", "release", "view", "bound", "placement", "allocation", "gossip_rounds", "index")


class Pivot(NamedTuple):
    """A table of one value.

    Attributes:
        heads: the headings of the columns; those of the rows first.
        cells: [rows, columns], texts.
        labels: how many of the first columns name the row.
        notes: sentences about the cells.
    """

    heads: list[str]
    cells: list[list[str]]
    labels: int
    notes: list[str]


def pivot(table: Sequence[Row], keys: Sequence[str], rows: Sequence[str], columns: Sequence[str], value: str) -> Pivot:
    """Arrange one value of the tidy table of a study.

    Args:
        table: the tidy table.
        keys: the keys of the grid of the study.
        rows: the columns of the tidy table that name a row; `kind` stands for `topology.kind`, where that is clear.
        columns: those that name a column.
        value: the column of the value; a certified ε is marked † where its noise depends on the data, * where it is
            conditional.

    Returns:
        The table. A cell is the mean over seeds with a 95 % interval; where its rows differ in something else, it is
        the lowest and the highest of such means, and a note says in what they differ.

    Raises:
        ScenarioError: if there is no such column, or the value is not a number.
    """
    down, across, shown = ([column_named(name, table) for name in names] for names in (rows, columns, [value]))
    _check_number(table, shown[0])
    grouped: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Row]]] = {}
    for row in table:
        at = grouped.setdefault(tuple(row[name] for name in down), {})
        at.setdefault(tuple(row[name] for name in across), []).append(row)
    over = list(dict.fromkeys(column for cells in grouped.values() for column in cells))
    differ: dict[str, None] = {}
    cells = []
    for label, found in grouped.items():
        texts = [_cell(found.get(column, []), shown[0], [*down, *across], keys, differ) for column in over]
        cells.append([*map(text_of, label), *texts])
    heads = [*down, *(", ".join(map(text_of, column)) or shown[0] for column in over)]
    return Pivot(heads, cells, len(down), _notes(table, shown[0], differ, cells))


def column_named(name: str, table: Sequence[Row]) -> str:
    """Return the column of a name, or of the end of one, like `client` for `deletion.client`.

    Raises:
        ScenarioError: if there is none; the message says what may have been meant.
    """
    names = list(table[0])
    if name in names:
        return name
    short = [column for column in names if column.rpartition(".")[2] == name]
    if len(short) == 1:
        return short[0]
    raise ScenarioError(
        f"there is no column {name!r}{did_you_mean(name, dict.fromkeys(names))}; there are: {', '.join(names)}"
    )


def text_of(value: Any) -> str:
    """Return an entry of the tidy table as text."""
    if value is None:
        return "—"
    return number(value) if isinstance(value, float) else str(value)


def _check_number(table: Sequence[Row], value: str) -> None:
    """Refuse a value that is text.

    Raises:
        ScenarioError: if it is.
    """
    if any(isinstance(row[value], str) for row in table):
        numbers = [name for name in table[0] if not any(isinstance(row[name], str) for row in table)]
        raise ScenarioError(f"{value} is text; --value takes a number: {', '.join(numbers)}")


def _cell(found: Sequence[Row], value: str, given: Sequence[str], keys: Sequence[str], differ: dict[str, None]) -> str:
    """Return one cell; note in `differ` what its rows differ in besides the seed."""
    if not found:
        return ""
    apart = [name for name in (*keys, *_PARTS) if name not in (*given, _SEED) and name in found[0]]
    apart = [name for name in apart if len({text_of(row[name]) for row in found}) > 1]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in found:
        groups.setdefault(tuple(text_of(row[name]) for name in apart), []).append(row)
    if len(groups) > 1:
        differ |= dict.fromkeys(name for name in apart if name != "index")
    means = [_mean(group, value) for group in groups.values()]
    known = sorted(mean for mean in means if mean[0] is not None)
    if not known:
        text = means[0][1]
    else:
        text = known[0][1] if len(groups) == 1 or known[0][1] == known[-1][1] else f"{known[0][1]} … {known[-1][1]}"
        text += " or —" if len(known) < len(means) else ""
    return text + _marks(found, value)


def _mean(group: Sequence[Row], value: str) -> tuple[float | None, str]:
    """Return the mean of a value over seeds, and its text with the interval."""
    values = [float(row[value]) for row in group if row[value] is not None]
    if not values:
        return None, "∞" if value == "epsilon_empirical" else "—"
    text = certified_text(spread(values)) if value == "epsilon_certified" else str(spread(values))
    missing = len(group) - len(values)
    return spread(values).mean, text + (f" (— in {missing} of {len(group)})" if missing else "")


def _marks(found: Sequence[Row], value: str) -> str:
    """Return the marks of a certified ε, per-instance and conditional, and of an ε whose certificate is violated."""
    if not value.startswith("epsilon_"):
        return ""
    known = [row for row in found if row[value] is not None and value == "epsilon_certified"]
    return marks(known) + ("" if all(row["holds"] for row in found) else " VIOLATED")


def _notes(table: Sequence[Row], value: str, differ: Mapping[str, None], cells: Sequence[Sequence[str]]) -> list[str]:
    """Explain the cells."""
    said, text = [], " ".join(cell for line in cells for cell in line)
    seeds = {row[_SEED] for row in table}
    if "±" in text:
        said.append(f"±: mean over {len(seeds)} seeds ± half of the 95 % t-interval of the mean.")
    if differ:
        said.append(f"lowest … highest: the rows of a cell differ in {', '.join(differ)}.")
    if "†" in text:
        said.append("† per-instance: computed from measurements of this data and this request.")
    if "*" in text:
        said.append("* conditional: holds if the estimated or declared constants do.")
    if "—" in text:
        said.append("—: none.")
    return said
