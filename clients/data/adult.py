"""People of the 1994 census: does one earn more than $50,000 a year."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, Integers, checked
from rewindnet.clients.data.files import data_root, find, reads
from rewindnet.errors import notice
from rewindnet.reading import text_of

Column = Literal[
    "workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country"
]

_WANTED = 'adult/adult.data and adult/adult.test of the UCI data set "Adult"'
_FILES = ("adult.data", "adult.test")
_PLACES = [[f"adult/{name}", name] for name in _FILES]
_CLASSES = ("<=50K", ">50K")
_MISSING = "?"

#: The columns in the order of the file: a number is the value that counts as 1, a text the values of `adult.names`.
_COLUMNS: dict[str, float | str] = {
    "age": 100,
    "workclass": "Private, Self-emp-not-inc, Self-emp-inc, Federal-gov, Local-gov, State-gov, Without-pay, "
    "Never-worked",
    "fnlwgt": 1_500_000,
    "education": "Bachelors, Some-college, 11th, HS-grad, Prof-school, Assoc-acdm, Assoc-voc, 9th, 7th-8th, 12th, "
    "Masters, 1st-4th, 10th, Doctorate, 5th-6th, Preschool",
    "education-num": 16,
    "marital-status": "Married-civ-spouse, Divorced, Never-married, Separated, Widowed, Married-spouse-absent, "
    "Married-AF-spouse",
    "occupation": "Tech-support, Craft-repair, Other-service, Sales, Exec-managerial, Prof-specialty, "
    "Handlers-cleaners, Machine-op-inspct, Adm-clerical, Farming-fishing, Transport-moving, Priv-house-serv, "
    "Protective-serv, Armed-Forces",
    "relationship": "Wife, Own-child, Husband, Not-in-family, Other-relative, Unmarried",
    "race": "White, Asian-Pac-Islander, Amer-Indian-Eskimo, Other, Black",
    "sex": "Female, Male",
    "capital-gain": 100_000,
    "capital-loss": 5_000,
    "hours-per-week": 100,
    "native-country": "United-States, Cambodia, England, Puerto-Rico, Canada, Germany, Outlying-US(Guam-USVI-etc), "
    "India, Japan, Greece, South, China, Cuba, Iran, Honduras, Philippines, Italy, Poland, Jamaica, Vietnam, Mexico, "
    "Portugal, Ireland, France, Dominican-Republic, Laos, Ecuador, Taiwan, Haiti, Columbia, Hungary, Guatemala, "
    "Nicaragua, Scotland, Thailand, Yugoslavia, El-Salvador, Trinadad&Tobago, Peru, Hong, Holand-Netherlands",
}


@reads(*_PLACES)
def adult(root: Path | None, seed: int, *, by: Column = "occupation") -> Dataset:
    """UCI Adult: 32,561 + 16,281 people, 105 features, income at most or above $50,000; clients by a column.

    A column of words is one 1 among zeros, one feature for each value that `adult.names` lists (99 in all); a value
    that is missing, `?` in the files, is all zeros. A column of numbers is divided by a round number that is known
    without the data: age and hours-per-week by 100, education-num by 16, capital-gain by 100,000, capital-loss by
    5,000, fnlwgt by 1,500,000. The order of columns is that of the files. adult.data are the training rows, adult.test
    the test rows; both are looked for in adult and the root itself. No mean is declared.

    Args:
        root: the data folder.
        seed: not used.
        by: the column by which people are grouped; a natural client is a group, named by the value, those without
            a value being the group `?`. The column stays among the features.

    Raises:
        DataError: if a file is missing or damaged, or has a value that `adult.names` does not list.

    References:
        Becker and Kohavi, "Adult", UCI Machine Learning Repository, 1996.
    """
    base = data_root(root)
    parts = [_table(find([base / place for place in places], _WANTED)) for places in _PLACES]
    groups = (*str(_COLUMNS[by]).split(", "), _MISSING)
    (x, y, client), (test_x, test_y, test_client) = (_arrays(path, fields, by) for path, fields in parts)
    missing = [int((fields == _MISSING).any(axis=1).sum()) for _, fields in parts]
    if sum(missing):
        notice(
            f"adult: {missing[0]:,} of {len(x):,} training rows and {missing[1]:,} of {len(test_x):,} test rows have a "
            f"missing value, written {_MISSING}; the features of its column are zero, and people without {by} are the "
            f"client {_MISSING}"
        )
    data = checked(
        "adult", x=x, y=y, test_x=test_x, test_y=test_y, layout="vector", classes=len(_CLASSES), client=client
    )
    absent = tuple(np.setdiff1d(test_client, client).tolist())
    return replace(data, class_names=_CLASSES, client_names=groups, without_training=absent)


def _table(path: Path) -> tuple[Path, NDArray[np.str_]]:
    """Return the fields of a file, [n, 15]."""
    rows = []
    for number, line in enumerate(text_of(path, DataError).splitlines(), start=1):
        # The test file begins with a comment.
        if not line.strip() or line.startswith("|"):
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != len(_COLUMNS) + 1:
            raise DataError(f"{path}: line {number} has {len(fields)} fields, {len(_COLUMNS) + 1} were expected")
        rows.append(fields)
    if not rows:
        raise DataError(f"{path} has no rows")
    return path, np.array(rows, dtype=np.str_)


def _arrays(path: Path, fields: NDArray[np.str_], by: Column) -> tuple[Floats, Integers, Integers]:
    """Return the features, the labels and the groups of the rows of a file."""
    blocks = [_block(path, name, fields[:, at]) for at, name in enumerate(_COLUMNS)]
    # Labels of the test file end in a dot.
    y = _positions(path, "income", np.char.rstrip(fields[:, -1], "."), _CLASSES)
    groups = (*str(_COLUMNS[by]).split(", "), _MISSING)
    return np.concatenate(blocks, axis=1), y, _positions(path, by, fields[:, list(_COLUMNS).index(by)], groups)


def _block(path: Path, name: str, values: NDArray[np.str_]) -> Floats:
    """Return the features of one column, [n, 1] of numbers or [n, values]."""
    scale = _COLUMNS[name]
    if isinstance(scale, str):
        known = (*scale.split(", "), _MISSING)
        return np.eye(len(known), len(known) - 1, dtype=np.float32)[_positions(path, name, values, known)]
    try:
        numbers = np.where(values == _MISSING, "0", values).astype(np.float64)
    except ValueError as problem:
        raise DataError(f"{path}: {name} must be a number ({problem})") from None
    return (numbers / scale).astype(np.float32)[:, None]


def _positions(path: Path, name: str, values: NDArray[np.str_], known: Sequence[str]) -> Integers:
    """Return the position of each value among the known ones."""
    distinct, place = np.unique(values, return_inverse=True)
    unknown = [value for value in distinct.tolist() if value not in known]
    if unknown:
        raise DataError(f"{path}: {name} is {unknown[0]!r}, which is not one of {', '.join(known)}")
    return np.array([known.index(value) for value in distinct.tolist()], dtype=np.int64)[place]
