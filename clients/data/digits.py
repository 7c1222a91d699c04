"""The embedded handwritten digits: no files needed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import DataError, Dataset, checked, every_fifth


def digits(root: Path | None, seed: int) -> Dataset:
    """1,797 handwritten digits of 8×8 pixels, embedded (scikit-learn); every fifth is a test row.

    Pixels are scaled to [0, 1]; the declared mean is 0.3.

    Args:
        root: not used.
        seed: not used.

    Raises:
        DataError: if scikit-learn does not have them where it used to.
    """
    rows = np.loadtxt(_file(), delimiter=",", dtype=np.int64)
    pixels, labels = rows[:, :-1], rows[:, -1]
    x = (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)
    test = every_fifth(len(x))
    return checked(
        "digits",
        x=x[~test],
        y=labels[~test],
        test_x=x[test],
        test_y=labels[test],
        layout="image",
        classes=10,
        mean=0.3,
    )


def _file() -> Path:
    """Return the file in scikit-learn, without importing that, which takes over a second."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():
        raise DataError(f"scikit-learn, with which the digits come, does not have them here: no such file: {file}")
    return file
