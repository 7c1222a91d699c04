"""The embedded handwritten digits: no files needed."""

from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import Dataset, checked, every_fifth


def digits(root: Path | None, seed: int) -> Dataset:
    """1,797 handwritten digits of 8×8 pixels, embedded (scikit-learn); every fifth is a test row.

    Pixels are scaled to [0, 1]; the declared mean is 0.3.

    Args:
        root: not used.
        seed: not used.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images / 16).astype(np.float32)
    test = every_fifth(len(x))
    return checked(
        "digits",
        x=x[~test],
        y=bunch.target[~test],
        test_x=x[test],
        test_y=bunch.target[test],
        layout="image",
        classes=10,
        mean=0.3,
    )
