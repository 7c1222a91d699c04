"""CIFAR-10, from the official Python pickles, read without trusting them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, Integers, checked
from rewindnet.clients.data.files import data_root, find, read_pickle, reads

_WANTED = 'the official "CIFAR-10 python version", as torchvision\'s CIFAR10(root, download=True) leaves it'
_SHAPE = (3, 32, 32)
_FOLDER = "cifar-10-batches-py"
_BATCHES = tuple(f"{_FOLDER}/data_batch_{number}" for number in range(1, 6))
_TEST = f"{_FOLDER}/test_batch"


@reads(*([place] for place in (*_BATCHES, _TEST)))
def cifar_10(root: Path | None, seed: int) -> Dataset:
    """CIFAR-10: 32×32 colour photographs, 10 classes; those of the five training batches that are there.

    Examples are [3, 32, 32], scaled to [0, 1]; the declared means are 0.4914, 0.4822 and 0.4465 (red, green,
    blue). The files are looked for in cifar-10-batches-py.

    Args:
        root: the data folder.
        seed: not used.

    Raises:
        DataError: if there is no training batch or no test batch, or one is damaged or holds anything but
            arrays.
    """
    base = data_root(root)
    batches = [base / place for place in _BATCHES]
    find(batches, _WANTED)
    test = find([base / _TEST], _WANTED)
    x, y = _joined([path for path in batches if path.is_file()])
    test_x, test_y = _joined([test])
    mean = np.array([0.4914, 0.4822, 0.4465], dtype=np.float32).reshape(3, 1, 1)
    return checked("cifar-10", x=x, y=y, test_x=test_x, test_y=test_y, layout="image", classes=10, mean=mean)


def _joined(paths: Sequence[Path]) -> tuple[Floats, Integers]:
    parts = [_batch(path) for path in paths]
    x = np.empty((sum(len(pixels) for pixels, _ in parts), *_SHAPE), dtype=np.float32)
    start = 0
    for pixels, _ in parts:
        np.divide(pixels.reshape(-1, *_SHAPE), np.float32(255), out=x[start : start + len(pixels)])
        start += len(pixels)
    return x, np.concatenate([labels for _, labels in parts])


def _batch(path: Path) -> tuple[NDArray[np.uint8], Integers]:
    content = read_pickle(path)
    if not isinstance(content, dict) or not {"data", "labels"} <= content.keys():
        raise DataError(f"{path} is not a CIFAR-10 batch: a dictionary with data and labels was expected")
    pixels, labels = content["data"], content["labels"]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
        raise DataError(f"{path}: data must be a uint8 array [n, 3072]")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{path}: labels must be a list of integers")
    if len(labels) != len(pixels):
        raise DataError(f"{path}: {len(pixels)} images but {len(labels)} labels")
    return pixels, np.array(labels, dtype=np.int64)
