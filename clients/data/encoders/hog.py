"""Histograms of oriented gradients as features."""

import math

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset, Floats, chunks
from rewindnet.clients.data.encoders.base import IMAGES_AT_ONCE, FeatureError, Features, costly, normalized


@costly
def hog(
    dataset: Dataset, seed: int, *, orientations: int = 8, cell: int = 7, stride: int = 3, power: float = 1.0
) -> Features:
    """Histograms of oriented gradients, each minus its mean over the orientations, then unit norm: ‖x‖ ≤ 1, proven.

    The gradient of the brightness (the mean over channels) at each pixel, by central differences, votes with its length
    for the two orientations in [0, 2π) that are next to its own. Votes are summed over cells of cell × cell pixels,
    whose corners lie `stride` apart; what is left at the far borders is dropped. Each sum is raised to `power`: below
    1, faint strokes count nearly as much as strong ones. The map is fixed: it sees no data, and taking off the mean
    centres the histograms without any.

    Args:
        dataset: the data, of layout "image".
        seed: not used.
        orientations: number of orientations.
        cell: length of a side of a cell, in pixels.
        stride: distance of neighbouring cells, in pixels.
        power: exponent of the sums, in (0, 1].

    Raises:
        FeatureError: if the examples are no images, a parameter is too small, or the cell exceeds an image.

    References:
        Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005. Perronnin, Sánchez and
        Mensink, "Improving the Fisher kernel for large-scale image classification", ECCV 2010, for the power.
    """
    if dataset.layout != "image":
        raise FeatureError(f"hog needs images, and an example of {dataset.name} is a {dataset.layout}; use unit-norm")
    sides = dataset.shape[-2:]
    if orientations < 2 or min(cell, stride) < 1 or cell > min(sides):
        raise FeatureError(
            f"hog needs orientations ≥ 2, stride ≥ 1 and cells within the sides {sides}; {orientations} orientations, "
            f"cell {cell} and stride {stride} were given"
        )
    if not 0 < power <= 1:
        raise FeatureError(f"the power of hog must be above 0 and at most 1, not {power}")
    shape = (orientations, *((side - cell) // stride + 1 for side in sides))
    x, test_x = (_histograms(part, shape, cell, stride, power) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 1.0, "proven", shape)


def _histograms(x: Floats, shape: tuple[int, ...], cell: int, stride: int, power: float) -> Floats:
    """Return centred, normalized histograms, float32 [n, width], of images [n, (c,) h, w]; `shape` is theirs."""
    out = np.empty((len(x), math.prod(shape)), dtype=np.float32)
    for rows in chunks(len(x), IMAGES_AT_ONCE):
        images = x[rows].reshape(-1, math.prod(x.shape[1:-2]), *x.shape[-2:]).mean(axis=1, dtype=np.float64)
        down, right = np.gradient(images, axis=(1, 2))
        angle = (np.arctan2(down, right) % (2 * np.pi)) * shape[0] / (2 * np.pi)
        lower = np.floor(angle)
        share, length = angle - lower, np.hypot(down, right)
        votes, bins = np.zeros((shape[0], *images.shape)), lower.astype(np.intp)[None]
        np.put_along_axis(votes, bins % shape[0], ((1 - share) * length)[None], axis=0)
        np.put_along_axis(votes, (bins + 1) % shape[0], (share * length)[None], axis=0)
        sums = _in_cells(_in_cells(votes, shape[-2], cell, stride).swapaxes(2, 3), shape[-1], cell, stride)
        sums = sums.swapaxes(2, 3) ** power
        histograms = (sums - sums.mean(axis=0)).swapaxes(0, 1).reshape(len(images), -1)
        out[rows] = normalized(histograms, 0.0)
    return out


def _in_cells(votes: NDArray[np.float64], cells: int, cell: int, stride: int) -> NDArray[np.float64]:
    """Sum votes [o, n, h, w] over cells of rows, as [o, n, cells, w]."""
    end = stride * (cells - 1) + 1
    return np.asarray(sum(votes[:, :, at : at + end : stride] for at in range(cell)))
