"""Data that are not here, known by what one sample looks like: enough for a plan, nothing to learn from."""

from math import prod
from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import DataError, Dataset, inferred_layout


def declared(root: Path | None, seed: int, *, shape: list[int] | None = None, classes: int = 10) -> Dataset:
    """No data, only what a sample looks like: for `rewindnet plan`; nothing can be learned from them.

    The partition `declared` then says how many samples each client holds.

    Args:
        root: not used.
        seed: not used.
        shape: of a sample; one of 2 or 3 sides is an image. None is [784].
        classes: how many classes there are.

    Raises:
        DataError: if a side is not positive or there are fewer than 2 classes.
    """
    sides = (784,) if shape is None else tuple(shape)
    if not sides or min(sides) < 1 or prod(sides) > 2**31 or classes < 2:
        raise DataError(
            f"declared data have positive sides and at least 2 classes, not shape {shape}, {classes} classes"
        )
    x, y = np.empty((0, *sides), dtype=np.float32), np.empty(0, dtype=np.int64)
    return Dataset("declared", x, y, x, y, inferred_layout(sides), classes)
