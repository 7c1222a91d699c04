"""MNIST with its writers, and Fashion-MNIST: the same four files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, Integers, checked
from rewindnet.clients.data.files import data_root, find, reads
from rewindnet.clients.data.idx import IMAGES, INTEGER_TABLE, LABELS, read_idx

_FOLDERS = {"MNIST": ("MNIST/raw", "MNIST", "."), "FashionMNIST": ("FashionMNIST/raw", "FashionMNIST")}
_WRITERS = "qmnist-train-labels-idx2-int"
_WRITERS_FOLDERS = ("qmnist", "QMNIST/raw", ".")


def _places(folders: Sequence[str], name: str) -> list[str]:
    return [f"{folder}/{name}{suffix}".removeprefix("./") for folder in folders for suffix in (".gz", "")]


def _images(part: str) -> str:
    return f"{part}-images-idx3-ubyte"


def _labels(part: str) -> str:
    return f"{part}-labels-idx1-ubyte"


def _four_places(official: str) -> list[list[str]]:
    return [_places(_FOLDERS[official], name(part)) for part in ("train", "t10k") for name in (_images, _labels)]


@reads(*_four_places("MNIST"), _places(_WRITERS_FOLDERS, _WRITERS))
def mnist(root: Path | None, seed: int) -> Dataset:
    """MNIST: 60,000 + 10,000 handwritten digits of 28×28 pixels; natural clients are the writers, if known.

    Pixels are scaled to [0, 1]; the declared mean is 0.1307. The four files, plain or gzipped, are looked for
    in MNIST/raw, MNIST and the root itself. Writers are column 2 of the QMNIST label file (Yadav and Bottou,
    "Cold
    case: the lost MNIST digits", 2019), looked for in qmnist, QMNIST/raw and the root itself.

    Args:
        root: the data folder.
        seed: not used.

    Raises:
        DataError: if a file is missing or damaged, or the writers' labels are not those of the images.
    """
    base = data_root(root)
    parts = _four_files(base, "MNIST")
    writers = _writers(base, parts[1])
    return _dataset("mnist", parts, 0.1307, writers)


@reads(*_four_places("FashionMNIST"))
def fashion_mnist(root: Path | None, seed: int) -> Dataset:
    """Fashion-MNIST: 60,000 + 10,000 pictures of clothes of 28×28 pixels, 10 classes.

    Pixels are scaled to [0, 1]; the declared mean is 0.2860. The four files, plain or gzipped, are looked for
    in FashionMNIST/raw and FashionMNIST (not in the root itself, where MNIST's files have the same names).

    Args:
        root: the data folder.
        seed: not used.

    Raises:
        DataError: if a file is missing or damaged.
    """
    return _dataset("fashion-mnist", _four_files(data_root(root), "FashionMNIST"), 0.2860, None)


_Parts = tuple[Floats, Integers, Floats, Integers]


def _dataset(name: str, parts: _Parts, mean: float, client: Integers | None) -> Dataset:
    x, y, test_x, test_y = parts
    return checked(
        name,
        x=x,
        y=y,
        test_x=test_x,
        test_y=test_y,
        layout="image",
        classes=10,
        client=client,
        mean=mean,
    )


def _four_files(base: Path, official: str) -> _Parts:
    wanted = f"the four {official} IDX files as torchvision's {official}(root, download=True) leaves them"
    files = [find([base / place for place in places], wanted) for places in _four_places(official)]
    pixels = [np.divide(read_idx(file, IMAGES), np.float32(255), dtype=np.float32) for file in files[::2]]
    labels = [read_idx(file, LABELS).astype(np.int64) for file in files[1::2]]
    return pixels[0], labels[0], pixels[1], labels[1]


def _writers(base: Path, y: Integers) -> Integers | None:
    candidates = (base / place for place in _places(_WRITERS_FOLDERS, _WRITERS))
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        return None
    table = read_idx(path, INTEGER_TABLE)
    if table.shape[1] < 3:
        raise DataError(f"{path}: the writer is column 2, but there are only {table.shape[1]} columns")
    if not np.array_equal(table[:, 0], y):
        raise DataError(f"{path}: its {len(table)} labels are not those of the {len(y)} MNIST training images")
    return table[:, 2].astype(np.int64)
