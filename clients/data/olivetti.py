"""Faces of 40 people."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, checked, every_fifth
from rewindnet.clients.data.files import data_root, find, read_bytes, reads

_WANTED = "olivetti/olivettifaces.mat, the faces of AT&T Laboratories Cambridge as Sam Roweis gave them (array faces)"
_PLACES = ["olivetti/olivettifaces.mat", "olivettifaces.mat"]
_SIDE, _EACH = 64, 10


@reads(_PLACES)
def olivetti(root: Path | None, seed: int) -> Dataset:
    """Olivetti faces: 400 photographs of 64×64 pixels, ten of each of 40 people, who are classes and clients.

    Examples are [1, 64, 64], scaled to [0, 1]; the declared mean is 0.5192. Every fifth photograph, two of each person,
    is a test row. The file is looked for in olivetti and the root itself.

    Args:
        root: the data folder.
        seed: not used.

    Raises:
        DataError: if the file is missing or damaged.

    References:
        Samaria and Harter, "Parameterisation of a stochastic model for human face identification", WACV 1994.
    """
    base = data_root(root)
    path = find([base / place for place in _PLACES], _WANTED)
    faces = _faces(path)
    if faces.dtype != np.uint8 or faces.ndim != 2 or faces.shape[0] != _SIDE**2 or faces.shape[1] % _EACH:
        raise DataError(
            f"{path}: faces must be uint8 [{_SIDE**2}, {_EACH} for each person], not {faces.dtype} of {faces.shape}"
        )
    # MATLAB stores the pixels of a photograph column by column.
    x = faces.T.reshape(-1, 1, _SIDE, _SIDE).transpose(0, 1, 3, 2).astype(np.float32) / np.float32(255)
    person = np.arange(len(x)) // _EACH
    test = every_fifth(len(x))
    return checked(
        "olivetti",
        x=x[~test],
        y=person[~test],
        test_x=x[test],
        test_y=person[test],
        layout="image",
        classes=len(x) // _EACH,
        client=person[~test],
        mean=0.5192,
    )


def _faces(path: Path) -> NDArray[Any]:
    """Return the array `faces` of a MATLAB file."""
    from scipy.io import loadmat

    content = read_bytes(path)
    try:
        return np.asarray(loadmat(io.BytesIO(content), variable_names=["faces"])["faces"])
    except Exception as problem:  # damaged files raise nearly every built-in exception
        raise DataError(
            f"{path} is no MATLAB file with the array faces, or is damaged ({type(problem).__name__}: {problem})"
        ) from None
