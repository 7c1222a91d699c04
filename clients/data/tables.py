"""Data of one's own from tables, CSV or Parquet: a row an example, a column a feature."""

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
) -> Dataset:
    """A table of your own as CSV: columns label, optionally client and split, and numeric features.

    Labels and clients keep their names, as they are written: 007 is not 7.

    Args:
        root: not used.
        seed: not used.
        path: the file, plain or compressed; `~` is the home directory.
        label: the column of the labels.
        client: the column of the natural clients, if there is one.
        split: the column that says train or test, if there is one; without it every fifth row is a test row.
        separator: what separates columns.

    Raises:
        DataError: if the file is missing or is no such table.
    """
    import pandas

    file = _existing(path)
    try:
        columns = pandas.read_csv(file, sep=separator, encoding="utf-8-sig", nrows=0).columns
        # A client may be called NA.
        missing = {column: _MISSING for column in columns if column not in (label, client, split)}
        names = dict.fromkeys((label, client, split), str)
        table = pandas.read_csv(
            file, sep=separator, encoding="utf-8-sig", dtype=names, na_values=missing, keep_default_na=False
        )
    except (ValueError, OSError, EOFError) as problem:
        raise DataError(f"{file} is no CSV table: {' '.join(str(problem).split())}") from None
    name = f"csv ({file})"
    return _dataset(name, _without_row_names(name, table, label), label, client, split)


def parquet(
    root: Path | None, seed: int, *, path: str, label: str = "label", client: str = "client", split: str = "split"
) -> Dataset:
    """A table of your own as Parquet: columns label, optionally client and split, and numeric features.

    Args:
        root: not used.
        seed: not used.
        path: the file; `~` is the home directory.
        label: the column of the labels.
        client: the column of the natural clients, if there is one.
        split: the column that says train or test, if there is one; without it every fifth row is a test row.

    Raises:
        DataError: if the file is missing or is no such table.
    """
    import pandas

    file = _existing(path)
    try:
        table = pandas.read_parquet(file)
    except (ValueError, OSError) as problem:
        raise DataError(f"{file} is no Parquet table: {' '.join(str(problem).split())}") from None
    return _dataset(f"parquet ({file})", table, label, client, split)


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


def _dataset(name: str, table: Any, label: str, client: str, split: str) -> Dataset:
    """Return the rows of a data frame as data."""
    columns = [str(column) for column in table.columns]
    if label not in columns:
        hint = "; data.separator says what separates columns" if len(columns) == 1 else ""
        raise DataError(
            f"{name} has no column {label!r} of labels (data.label); its columns are {', '.join(columns)}{hint}"
        )
    features = [column for column in table.columns if column not in (label, client, split)]
    wrong = [column for column in features if table[column].dtype.kind not in "biuf"]
    if wrong or not features:
        which = f"the column {wrong[0]!r} is of the type {table[wrong[0]].dtype}" if wrong else "there is none"
        raise DataError(f"{name}: features are columns of numbers, and {which}")
    return divided(
        name,
        table[features].to_numpy(dtype=np.float64),
        _named(name, table[label]),
        _named(name, table[client]) if client in columns else None,
        _test_rows(name, table[split]) if split in columns else every_fifth(len(table)),
    )


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
