"""Human activities from smartphones: 30 people, each a natural client."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, checked
from rewindnet.clients.data.files import data_root, find, read_arrays, reads

TEST_SUBJECTS = (2, 4, 9, 10, 12, 13, 18, 20, 24)

_WANTED = (
    'uci-har/uci_har_windows.npz, a repacking of the inertial signals of the "UCI HAR Dataset" '
    "(arrays planes, win, subject, y)"
)
_HALF = 64
_PLACE = "uci-har/uci_har_windows.npz"


@reads([_PLACE])
def uci_har(root: Path | None, seed: int, *, held_out: Literal["people", "windows"] = "people") -> Dataset:
    """UCI HAR: 10,299 windows of 9 motion signals × 128 samples, 6 activities; natural clients are people.

    The official test people (2 4 9 10 12 13 18 20 24) are the test set; the other 21 are the training set. With
    `held_out: windows` all 30 people learn, and the test set is the last fifth of each person's windows of each
    activity, so it tells how well people are recognised who have taken part.
    Channels are body acceleration, angular velocity and total acceleration, x y z each, at 50 Hz, as
    published; no mean is declared. Windows overlap by half, so the archive stores each half-window once, as
    the four byte planes of little-endian float32: `planes` uint8 [4, 9, halves, 64]; window i is halves
    `win[i]` and `win[i] + 1`.

    Args:
        root: the data folder.
        seed: not used.
        held_out: what the test set is made of: the official people, or windows of all people.

    Raises:
        DataError: if the archive is missing or damaged, or its arrays do not fit together.

    References:
        Anguita, Ghio, Oneto, Parra and Reyes-Ortiz, "A public domain dataset for human activity recognition
        using smartphones", ESANN 2013.
    """
    path = find([data_root(root) / _PLACE], _WANTED)
    arrays = read_arrays(path, ["planes", "win", "subject", "y"])
    x = _windows(path, arrays["planes"], arrays["win"])
    subject, y = arrays["subject"], arrays["y"]
    if subject.shape != (len(x),) or y.shape != (len(x),):
        raise DataError(f"{path}: {len(x)} windows, but subject and y have shapes {subject.shape} and {y.shape}")
    test = np.isin(subject, TEST_SUBJECTS) if held_out == "people" else _last_fifth(subject, y)
    return checked(
        "uci-har",
        x=x[~test],
        y=y[~test],
        test_x=x[test],
        test_y=y[test],
        layout="signal",
        classes=6,
        client=subject[~test],
    )


def _last_fifth(subject: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the mask [n] of the last fifth of the windows of each person and activity."""
    last = np.zeros(len(y), dtype=bool)
    for person, activity in np.unique(np.stack([subject, y]), axis=1).T:
        (own,) = np.nonzero((subject == person) & (y == activity))
        last[own[len(own) - len(own) // 5 :]] = True
    return last


def _windows(path: Path, planes: NDArray[Any], first: NDArray[Any]) -> Floats:
    """Return the windows, float32 [n, channels, 128]."""
    if planes.dtype != np.uint8 or planes.ndim != 4 or planes.shape[0] != 4 or planes.shape[3] != _HALF:
        raise DataError(
            f"{path}: planes must be uint8 [4, channels, halves, {_HALF}], not {planes.dtype} of shape {planes.shape}"
        )
    if first.ndim != 1 or first.dtype.kind not in "iu" or not len(first):
        raise DataError(f"{path}: win must be integers [n], not {first.dtype} of shape {first.shape}")
    start = first.astype(np.int64)
    if start.min() < 0 or start.max() + 1 >= planes.shape[2]:
        raise DataError(f"{path}: win must lie in 0 … {planes.shape[2] - 2}, it spans {first.min()} … {first.max()}")
    halves = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view("<f4")[..., 0].transpose(1, 0, 2)
    return np.concatenate([halves[start], halves[start + 1]], axis=2)
