"""Arrays of one's own, from a numpy archive."""

from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import DataError, Dataset, Layout, every_fifth
from rewindnet.clients.data.files import read_arrays
from rewindnet.clients.data.rows import divided
from rewindnet.reading import located


def npz(root: Path | None, seed: int, *, path: str, layout: Layout | None = None) -> Dataset:
    """Your own arrays: x [n, …], y [n] and, if you like, client [n] and test [n] from an .npz archive.

    No mean is declared. Labels and clients may be whole numbers, booleans or text, and labels also one-hot
    [n, classes]; what is not numbered 0, 1, 2, … keeps its names.

    Args:
        root: not used.
        seed: not used.
        path: the archive, relative to the working directory; `~` is the home directory. It holds `x` numbers
            [n, …], `y` labels [n], optionally `client` [n] (the natural client of each row) and
            `test` booleans [n] (the test rows; without it every fifth row is a test row).
        layout: what an example is; None takes [h, w] and [c, h, w] for images and everything else for
            vectors, so signals [c, t] must be said to be such.

    Raises:
        DataError: if the archive is missing, damaged or lacks an array, or the arrays do not make sense.
    """
    file = located(path, DataError)
    if not file.is_file():
        raise DataError(f"no such file: {file}; data.path must name an .npz archive with the arrays x and y")
    arrays = read_arrays(file, ["x", "y"], ["client", "test"])
    x, y, client = arrays["x"], arrays["y"], arrays.get("client")
    test = arrays.get("test", every_fifth(len(x)))
    if test.dtype != np.bool_:
        raise DataError(f"{file}: test must be booleans [n], not {test.dtype}")
    return divided(f"npz ({file})", x, y, client, test, layout)
