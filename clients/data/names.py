"""Numbers for the labels and clients of data, whatever they are called there, and the names that they keep."""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError
from rewindnet.errors import notice

Integers = NDArray[np.int64]
#: The largest number of names in a message.
_SHOWN = 8


class Numbered(NamedTuple):
    """Values as numbers: whole numbers as they are, without names; or else the positions of their names."""

    numbers: Integers
    names: tuple[str, ...] | None


def numbered(where: str, values: NDArray[Any]) -> Numbered:
    """Return labels or client ids as numbers, with the names that they have in the data.

    Whole numbers stay what they are, also where they are stored as floats. Booleans, text, other floats and numbers
    beyond int64 become the positions of their names, in their order: that of numbers, or 2 before 10 in text.

    Args:
        where: what they are of, for the message.
        values: [n], booleans, numbers or text.

    Raises:
        DataError: if they are something else, NaN or infinite, or empty text.
    """
    kind = values.dtype.kind
    if values.ndim != 1 or kind not in "biufUST":
        raise DataError(f"{where} must be whole numbers, booleans or text [n], not {values.dtype} of {values.shape}")
    if kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{where}: row {int((~np.isfinite(values)).argmax())} is NaN or infinite")
    if kind == "f" and (values == np.rint(values)).all() and np.abs(values).max(initial=0) < 2**53:
        return Numbered(values.astype(np.int64), None)
    if kind == "i" or (kind == "u" and values.max(initial=0) <= np.iinfo(np.int64).max):
        return Numbered(values.astype(np.int64), None)
    distinct, place = np.unique(values, return_inverse=True)
    names = [_text(value) for value in distinct.tolist()]
    if "" in names:
        raise DataError(f"{where}: row {int((place == names.index('')).argmax())} is empty")
    order = sorted(range(len(names)), key=lambda at: _natural(names[at])) if kind in "UST" else range(len(names))
    number = np.empty(len(names), dtype=np.int64)
    number[list(order)] = np.arange(len(names))
    return Numbered(number[place], tuple(names[at] for at in order))


def classes_of(name: str, y: NDArray[Any]) -> Numbered:
    """Return labels as classes 0, 1, 2, …, with names where they are called otherwise; a notice says so.

    Args:
        name: the name of the data, for messages.
        y: labels [n] as for `numbered`, or one-hot [n, classes].

    Raises:
        DataError: if they are no labels.
    """
    if y.ndim == 2:
        y = _from_columns(name, y)
    if y.dtype.kind == "f" and y.size and np.isfinite(y).all() and (y != np.rint(y)).any():
        raise DataError(f"{name}: labels are classes, and {y[y != np.rint(y)][0]!s} is no class; give text or integers")
    found = numbered(f"{name}: labels", y)
    if not len(y):
        return found
    distinct, place = np.unique(found.numbers, return_inverse=True)
    if found.names is None and np.array_equal(distinct, np.arange(len(distinct))):
        return found
    if len(distinct) == len(y) > 2:
        raise DataError(f"{name}: each of the {len(y)} rows has a label of its own, so they are no classes")
    names = found.names or tuple(map(str, distinct.tolist()))
    notice(f"{name}: the labels {listed(names)} are {len(names)} classes, known by these names and numbered from 0")
    return Numbered(np.asarray(place, dtype=np.int64), names)


def listed(names: tuple[str, ...]) -> str:
    """Return names for a message; the first few if there are many."""
    return ", ".join(names[:_SHOWN]) + (f", … {names[-1]}" if len(names) > _SHOWN else "")


def _from_columns(name: str, y: NDArray[Any]) -> NDArray[Any]:
    """Return one label a row of a column [n, 1], or of one-hot labels [n, classes]."""
    if y.shape[1] == 1:
        return y[:, 0]
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all() or not (y.sum(axis=1) == 1).all():
        raise DataError(f"{name}: labels of shape {y.shape} are not one-hot: each row has a single 1, and zeros")
    notice(f"{name}: the one-hot labels of shape {y.shape} are {y.shape[1]} classes, by the column of the 1")
    return np.asarray(y.argmax(axis=1))


def _text(value: Any) -> str:
    """Return a value as a name."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _natural(name: str) -> tuple[Any, ...]:
    """Return a sort key in which runs of digits compare as numbers."""
    parts = re.split(r"([0-9]+)", name)
    return (*((part, 0) if at % 2 == 0 else ("", int(part)) for at, part in enumerate(parts)), (name, 0))
