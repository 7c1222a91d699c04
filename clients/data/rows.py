"""Data from rows with labels and, perhaps, clients: as in a file of one's own."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, Layout, checked, inferred_layout
from rewindnet.clients.data.names import classes_of, numbered


def divided(
    name: str,
    x: NDArray[Any],
    y: NDArray[Any],
    client: NDArray[Any] | None,
    test: NDArray[np.bool_],
    layout: Layout | None = None,
) -> Dataset:
    """Return rows as training and test data, with the names of their classes and clients.

    Args:
        name: the name of the data.
        x: features, numbers [n, …].
        y: labels [n], or one-hot [n, classes]; see `classes_of`.
        client: the natural client of each row; see `numbered`.
        test: [n], which rows are test rows.
        layout: what an example is; None infers it.

    Raises:
        DataError: if the arrays do not fit together, or make no sense.
    """
    for what, array in {"y": y, "client": client, "test": test}.items():
        if array is not None and (array.shape[:1] != (len(x),) or array.ndim > (2 if what == "y" else 1)):
            raise DataError(f"{name}: {what} must have the shape ({len(x)},) of x's rows, not {array.shape}")
    labels = classes_of(name, y)
    owners = None if client is None else numbered(f"{name}: natural clients", client)
    data = checked(
        name,
        x=x[~test],
        y=labels.numbers[~test],
        test_x=x[test],
        test_y=labels.numbers[test],
        layout=layout or inferred_layout(x.shape[1:]),
        classes=None if labels.names is None else len(labels.names),
        client=None if owners is None else owners.numbers[~test],
    )
    if owners is None:
        return replace(data, class_names=labels.names)
    absent = tuple(np.setdiff1d(owners.numbers[test], owners.numbers[~test]).tolist())
    return replace(data, class_names=labels.names, client_names=owners.names, without_training=absent)
