"""MNIST with its writers, and Fashion-MNIST: the same four files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, Integers, checked
from rewindnet.clients.data.files import data_root, find
from rewindnet.clients.data.idx import IMAGES, INTEGER_TABLE, LABELS, read_idx

_WRITERS = "qmnist-train-labels-idx2-int"


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
    parts = _four_files([base / "MNIST" / "raw", base / "MNIST", base], "MNIST")
    writers = _writers([base / "qmnist", base / "QMNIST" / "raw", base], parts[1])
    return _dataset("mnist", parts, 0.1307, writers)


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
    base = data_root(root) / "FashionMNIST"
    return _dataset("fashion-mnist", _four_files([base / "raw", base], "FashionMNIST"), 0.2860, None)


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


def _four_files(folders: Sequence[Path], official: str) -> _Parts:
    wanted = f"the four {official} IDX files as torchvision's {official}(root, download=True) leaves them"
    pixels: dict[str, Floats] = {}
    labels: dict[str, Integers] = {}
    for part in ("train", "t10k"):
        images = find(_candidates(folders, f"{part}-images-idx3-ubyte"), wanted)
        pixels[part] = np.divide(read_idx(images, IMAGES), np.float32(255), dtype=np.float32)
        names = find(_candidates(folders, f"{part}-labels-idx1-ubyte"), wanted)
        labels[part] = read_idx(names, LABELS).astype(np.int64)
    return pixels["train"], labels["train"], pixels["t10k"], labels["t10k"]


def _candidates(folders: Sequence[Path], name: str) -> list[Path]:
    return [folder / (name + suffix) for folder in folders for suffix in (".gz", "")]


def _writers(folders: Sequence[Path], y: Integers) -> Integers | None:
    path = next((path for path in _candidates(folders, _WRITERS) if path.is_file()), None)
    if path is None:
        return None
    table = read_idx(path, INTEGER_TABLE)
    if table.shape[1] < 3:
        raise DataError(f"{path}: the writer is column 2, but there are only {table.shape[1]} columns")
    if not np.array_equal(table[:, 0], y):
        raise DataError(f"{path}: its {len(table)} labels are not those of the {len(y)} MNIST training images")
    return table[:, 2].astype(np.int64)
