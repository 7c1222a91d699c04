"""Data of one's own from tables, CSV or Parquet: a row an example, a column a feature."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, every_fifth
from rewindnet.clients.data.rows import divided
from rewindnet.errors import notice
from rewindnet.reading import located

#: What stands for a feature that is missing.
_MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
#: What pandas calls a first column without a name.
_UNNAMED = "Unnamed: 0"
#: For each column of categories, its values; None where there is no such column.
Categories = dict[str, list[str | int]] | None
#: The largest number of columns that a message names.
_SHOWN = 8
_SPLITS = {"train": False, "training": False, "test": True}


def csv(
    root: Path | None,
    seed: int,
    *,
    path: str,
    label: str = "label",
    client: str = "client",
    split: str = "split",
    separator: str = ",",
    categories: Categories = None,
) -> Dataset:
    """A table of your own as CSV: columns label, optionally client and split, and features: numbers or categories.

    Labels and clients keep their names, as they are written: 007 is not 7.

    Args:
        root: not used.
        seed: not used.
        path: the file, plain or compressed; `~` is the home directory.
        label: the column of the labels.
        client: the column of the natural clients, if there is one.
        split: the column that says train or test, if there is one; without it every fifth row is a test row.
        separator: what separates columns.
        categories: for each column of words, every value that it may have, in the order of the features: each is one,
            1 where the row has it and else 0. They are fixed before the data are looked at, and public.

    Raises:
        DataError: if the file is missing or is no such table.
    """
    import pandas

    file = _existing(path)
    try:
        columns = pandas.read_csv(file, sep=separator, encoding="utf-8-sig", nrows=0).columns
        # A client, or a category, may be called NA.
        names = dict.fromkeys((label, client, split, *(categories or ())), str)
        missing = {column: _MISSING for column in columns if column not in names}
        table = pandas.read_csv(
            file, sep=separator, encoding="utf-8-sig", dtype=names, na_values=missing, keep_default_na=False
        )
    except (ValueError, OSError, EOFError) as problem:
        raise DataError(f"{file} is no CSV table: {' '.join(str(problem).split())}") from None
    name = f"csv ({file})"
    return _dataset(name, _without_row_names(name, table, label), label, client, split, categories or {})


def parquet(
    root: Path | None,
    seed: int,
    *,
    path: str,
    label: str = "label",
    client: str = "client",
    split: str = "split",
    categories: Categories = None,
) -> Dataset:
    """A table of your own as Parquet: columns label, optionally client and split, and features: numbers or categories.

    Args:
        root: not used.
        seed: not used.
        path: the file; `~` is the home directory.
        label: the column of the labels.
        client: the column of the natural clients, if there is one.
        split: the column that says train or test, if there is one; without it every fifth row is a test row.
        categories: as for `csv`.

    Raises:
        DataError: if the file is missing or is no such table.
    """
    import pandas

    file = _existing(path)
    try:
        table = pandas.read_parquet(file)
    except (ValueError, OSError) as problem:
        raise DataError(f"{file} is no Parquet table: {' '.join(str(problem).split())}") from None
    return _dataset(f"parquet ({file})", table, label, client, split, categories or {})


def _existing(path: str) -> Path:
    """Return the path of a file that is there."""
    file = located(path, DataError)
    if not file.is_file():
        raise DataError(f"no such file: {file}; data.path must name a table with a column of labels")
    return file


def _without_row_names(name: str, table: Any, label: str) -> Any:
    """Return a table without a first column that has no name, as R and pandas write the names of rows."""
    if table.index.nlevels > 1:
        raise DataError(
            f"{name}: its rows have {table.index.nlevels + len(table.columns)} fields, and its first line names "
            f"{len(table.columns)} columns"
        )
    first = table.columns[0]
    if table.index.dtype != np.int64 or (table.index != np.arange(len(table))).any():
        table = table.reset_index(drop=True)
    elif first == _UNNAMED != label and table[first].is_unique:
        table = table.drop(columns=first)
    else:
        return table
    notice(f"{name}: the first column has no name and holds the names of rows, so it is no feature")
    return table


def _dataset(
    name: str, table: Any, label: str, client: str, split: str, categories: Mapping[str, Sequence[str | int]]
) -> Dataset:
    """Return the rows of a data frame as data."""
    columns = [str(column) for column in table.columns]
    if label not in columns:
        hint = "; data.separator says what separates columns" if len(columns) == 1 else ""
        raise DataError(
            f"{name} has no column {label!r} of labels (data.label); its columns are {', '.join(columns)}{hint}"
        )
    table.columns = columns
    features = [column for column in columns if column not in (label, client, split)]
    unknown = [column for column in categories if column not in features]
    if unknown or not features:
        found = ", ".join(features) or "none"
        what = f"no column {unknown[0]!r} of features (data.categories)" if unknown else "no features"
        raise DataError(f"{name} has {what}; its columns of features are: {found}")
    _check_numbers(name, table, [column for column in features if column not in categories])
    parts = [
        _one_hot(name, table[column], categories[column])
        if column in categories
        else table[[column]].to_numpy(dtype=np.float64)
        for column in features
    ]
    return divided(
        name,
        np.concatenate(parts, axis=1),
        _named(name, table[label]),
        _named(name, table[client]) if client in columns else None,
        _test_rows(name, table[split]) if split in columns else every_fifth(len(table)),
    )


def _check_numbers(name: str, table: Any, columns: Sequence[str]) -> None:
    """Refuse columns that do not hold a number in each row; all of them are named."""
    texts = {column: [value for value in table[column] if isinstance(value, str)] for column in columns}
    wrong = [f"{column!r} (like {values[0]!r})" for column, values in texts.items() if values]
    if wrong:
        first = next(column for column, values in texts.items() if values)
        raise DataError(
            f"{name}: features are numbers, and text is in the columns {_some(wrong)}; remove them, turn them into "
            "numbers, or list every value that they may have, fixed before the data: "
            f"data.categories={{{first}: […], …}}"
        )
    for column in columns:
        if table[column].dtype.kind not in "biuf":
            kind = f"the column {column!r} is of the type {table[column].dtype}"
            raise DataError(f"{name}: features are numbers, and {kind}; remove it or turn it into numbers")
    empty = table[list(columns)].isna()
    gaps = [f"{column!r} (row {int(empty[column].argmax())})" for column in columns if empty[column].any()]
    if gaps:
        cure = "fill them in, or remove the rows or columns"
        raise DataError(f"{name}: values are missing in the columns {_some(gaps)}; {cure}")


def _some(found: Sequence[str]) -> str:
    """Return the first of several phrases, and how many more there are."""
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _one_hot(name: str, column: Any, values: Sequence[str | int]) -> NDArray[np.float64]:
    """Return a column of categories as a feature for each value [n, values], in their order."""
    import pandas

    listed = list(map(str, values))
    if not listed or len(set(listed)) < len(listed):
        raise DataError(
            f"data.categories.{column.name} lists values, each of them once, not {', '.join(listed) or 'none'}"
        )
    texts = column.astype(object).where(column.notna(), "").astype(str)
    other = ~texts.isin(listed).to_numpy()
    if other.any():
        row = int(other.argmax())
        found = f"the column {column.name!r} is {texts.iloc[row]!r} in row {row}"
        raise DataError(f"{name}: {found}, which data.categories.{column.name} does not list: {', '.join(listed)}")
    return np.asarray(pandas.get_dummies(pandas.Categorical(texts, categories=listed)).to_numpy(dtype=np.float64))


def _named(name: str, column: Any) -> NDArray[Any]:
    """Return a column of names: as whole numbers where all are written as such, else as they are."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise DataError(f"{name}: the column {column.name!r} is empty in row {int(missing.argmax())}")
    if column.dtype.kind in "biuf":
        return np.asarray(column.to_numpy())
    texts = [str(value) for value in column]
    if all(text.removeprefix("-").isdecimal() and text.isascii() and str(int(text)) == text for text in texts):
        numbers = [int(text) for text in texts]
        if all(abs(number) < 2**63 for number in numbers):
            return np.array(numbers, dtype=np.int64)
    return np.array(texts, dtype=np.str_)


def _test_rows(name: str, column: Any) -> NDArray[np.bool_]:
    """Return which rows are test rows by the column of the split."""
    texts = [str(value).strip().lower() for value in column]
    unknown = [text for text in texts if text not in _SPLITS]
    if unknown:
        raise DataError(f"{name}: the column {column.name!r} says train or test in each row, not {unknown[0]!r}")
    return np.array([_SPLITS[text] for text in texts], dtype=np.bool_)
