"""Feature maps in front of a model, and the bound on ‖x‖ that certificates may rest on.

A map that is fixed before any client's data is seen, and ends by dividing each row by its norm, keeps the
radius *proven*: no row of any client, present or deleted, can have a larger norm.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset, Floats, chunks
from rewindnet.errors import UserError
from rewindnet.registry import Registry
from rewindnet.topologies.rng import Stream, rng_at

if TYPE_CHECKING:
    import torch

# Rounding to float32 can lengthen a row by a factor 1 + 2⁻²⁴ at most; four times as much is taken off.
_SHRINK = 1.0 - 2.0**-22
# Rows shorter than this count as zero: their squares would leave the range where float64 is accurate.
_ZERO = 1e-100
_IMAGES_AT_ONCE = 250


class FeatureError(UserError):
    """A transform that cannot be applied, in a sentence that says why."""


@dataclass(frozen=True, eq=False)
class Features:
    """What a model is given.

    Attributes:
        x: training features, float32 [n, p].
        test_x: test features, float32 [m, p].
        radius: a bound on the Euclidean norm of every training row.
        provenance: "proven" if the radius holds whatever the data, "enforced" if rows were clipped to it,
            "estimated" if it was read off these data.
        shape: the shape of one example before flattening; its product is p.

    Raises:
        FeatureError: if a training row is longer than the radius, on which every certificate would rest.
    """

    x: Floats
    test_x: Floats
    radius: float
    provenance: Literal["proven", "enforced", "estimated"]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a radius that does not bound the norms."""
        longest = _longest(self.x)
        if not longest <= self.radius:
            raise FeatureError(
                f"a row of the features has the norm {longest:.6g}, and they say that none is longer than "
                f"{self.radius:.6g} ({self.provenance}); certificates would not hold for such features"
            )


def raw(dataset: Dataset, seed: int, *, radius: float | None = None) -> Features:
    """Features as they are, flattened; with a radius, longer rows are clipped to that norm.

    Without a radius, the largest norm over the training rows is taken, which is an estimate: it was read off
    the clients' data, and a row that is not there could be longer.

    Args:
        dataset: the data.
        seed: not used.
        radius: the norm to which longer rows are scaled down.

    Raises:
        FeatureError: if the radius is not positive and finite, or there are neither a radius nor data.
    """
    x, test_x = (_flat(part) for part in (dataset.x, dataset.test_x))
    if radius is None and not len(x):
        raise FeatureError(f"the radius of raw features is read off the data, and {dataset.name} has none; set radius")
    if radius is None:
        return Features(x, test_x, _longest(x), "estimated", dataset.shape)
    if not (math.isfinite(radius) and radius > 0):
        raise FeatureError(f"the radius of raw features must be positive and finite, not {radius}")
    return Features(_clipped(x, radius), _clipped(test_x, radius), radius, "enforced", dataset.shape)


def unit_norm(dataset: Dataset, seed: int, *, center: Literal["public", "zero"] | float = "public") -> Features:
    """Each row minus a public mean, divided by its norm: ‖x‖ ≤ 1, proven.

    The norm of every row as stored (float32, summed in float64) is at most 1 exactly; rows equal to the mean
    become zero.

    Args:
        dataset: the data.
        seed: not used.
        center: what is subtracted: the source's declared public mean (zero if it declares none), zero, or a
            number that must not be computed from the clients' data.

    Raises:
        FeatureError: if the centre is neither of the words nor a finite number.
    """
    offset = _center(dataset, center)
    x, test_x = (_normalized(_flat(part), offset) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 1.0, "proven", dataset.shape)


def random_conv(dataset: Dataset, seed: int, *, filters: int = 32, kernel: int = 5, pool: int = 4) -> Features:
    """A frozen random convolution, ReLU and average pooling, then unit norm: ‖x‖ ≤ 1, proven.

    Gaussian filters of unit norm, drawn from the seed, are slid without padding over each example minus the
    declared public mean; the map never sees a client's data. Images ([h, w] as one channel, or [c, h, w]) get
    kernel × kernel filters and pool × pool pooling, signals [c, t] get filters and pooling along time; the
    dataset's layout tells [h, w] from [c, t].

    Args:
        dataset: the data, of layout "image" or "signal".
        seed: the scenario's seed.
        filters: number of filters.
        kernel: length of a side of a filter.
        pool: length of a side of a pooling window; what is left at the far borders is dropped.

    Raises:
        FeatureError: if the examples are vectors, a parameter is below 1, or kernel and pool exceed an
            example.

    References:
        Saxe, Koh, Chen, Bhand, Suresh and Ng, "On random weights and unsupervised feature learning", ICML
        2011.
    """
    channels, sides = _channels_and_sides(dataset)
    pooled = tuple((side - kernel + 1) // pool for side in sides) if min(kernel, pool) >= 1 else ()
    if filters < 1 or min(pooled, default=0) < 1:
        raise FeatureError(
            f"random-conv needs filters, kernel and pool ≥ 1 and kernel + pool − 1 within each of the sides "
            f"{sides}; {filters} filters, kernel {kernel} and pool {pool} were given"
        )
    weight = rng_at(seed, Stream.FEATURES).standard_normal((filters, channels, *[kernel] * len(sides)))
    weight /= np.linalg.norm(weight.reshape(filters, -1), axis=1).reshape(-1, *[1] * (weight.ndim - 1))
    mean = np.asarray(0 if dataset.mean is None else dataset.mean, dtype=np.float32)
    shape = (filters, *pooled)
    x, test_x = (
        _convolved(part, mean, (channels, *sides), weight.astype(np.float32), pool, math.prod(shape))
        for part in (dataset.x, dataset.test_x)
    )
    return Features(x, test_x, 1.0, "proven", shape)


def hog(dataset: Dataset, seed: int, *, orientations: int = 8, cell: int = 7, stride: int = 3) -> Features:
    """Histograms of oriented gradients, each minus its mean over the orientations, then unit norm: ‖x‖ ≤ 1, proven.

    The gradient of the brightness (the mean over channels) at each pixel, by central differences, votes with its length
    for the two orientations in [0, 2π) that are next to its own. Votes are summed over cells of cell × cell pixels,
    whose corners lie `stride` apart; what is left at the far borders is dropped. The map is fixed: it sees no data,
    and taking off the mean centres the histograms without any.

    Args:
        dataset: the data, of layout "image".
        seed: not used.
        orientations: number of orientations.
        cell: length of a side of a cell, in pixels.
        stride: distance of neighbouring cells, in pixels.

    Raises:
        FeatureError: if the examples are no images, a parameter is too small, or the cell exceeds an image.

    References:
        Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
    """
    if dataset.layout != "image":
        raise FeatureError(f"hog needs images, and an example of {dataset.name} is a {dataset.layout}; use unit-norm")
    sides = dataset.shape[-2:]
    if orientations < 2 or min(cell, stride) < 1 or cell > min(sides):
        raise FeatureError(
            f"hog needs orientations ≥ 2, stride ≥ 1 and cells within the sides {sides}; {orientations} orientations, "
            f"cell {cell} and stride {stride} were given"
        )
    shape = (orientations, *((side - cell) // stride + 1 for side in sides))
    x, test_x = (_histograms(part, shape, cell, stride) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 1.0, "proven", shape)


#: Called as `transform(dataset, seed, *, settings)`.
TRANSFORMS: Registry[Callable[..., Features]] = Registry(
    "features",
    {
        "raw": raw,
        "unit-norm": unit_norm,
        "random-conv": random_conv,
        "hog": hog,
    },
    FeatureError,
)


def _flat(part: Floats) -> Floats:
    """Return the rows as [n, p], for no rows too."""
    return part.reshape(len(part), math.prod(part.shape[1:]))


def _norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return norms


def _longest(x: Floats) -> float:
    """Return the largest norm of a row of x, float32 [n, p]; 0 for no rows."""
    return max((float(_norms(x[rows].astype(np.float64)).max()) for rows in chunks(len(x))), default=0.0)


def _clipped(x: Floats, radius: float) -> Floats:
    out = np.empty_like(x)
    for rows in chunks(len(x)):
        norms = _norms(x[rows].astype(np.float64))
        scale = np.divide(radius * _SHRINK, norms, out=np.ones_like(norms), where=norms > radius)
        out[rows] = x[rows] * scale[:, None]
    return out


def _normalized(x: Floats, center: NDArray[np.float64] | float) -> Floats:
    """Return the rows of x, float32 [n, p], minus the centre (a number or [p]) and divided by their norms."""
    out = np.empty(x.shape, dtype=np.float32)
    for rows in chunks(len(x)):
        block = x[rows].astype(np.float64) - center
        norms = _norms(block)
        scale = np.divide(_SHRINK, norms, out=np.zeros_like(norms), where=norms > _ZERO)
        np.multiply(block, scale[:, None], out=out[rows], casting="same_kind")
    return out


def _center(dataset: Dataset, center: str | float) -> NDArray[np.float64] | float:
    if center == "zero" or (center == "public" and dataset.mean is None):
        return 0.0
    if center == "public":
        mean = np.asarray(dataset.mean, dtype=np.float64)
        return np.broadcast_to(mean, dataset.shape).reshape(-1)
    if isinstance(center, str) or not math.isfinite(center):
        raise FeatureError(f"the center of unit-norm must be public, zero or a finite number, not {center!r}")
    return float(center)


def _channels_and_sides(dataset: Dataset) -> tuple[int, tuple[int, ...]]:
    shape = dataset.shape
    if dataset.layout == "vector":
        raise FeatureError(
            f"random-conv needs images or signals, but an example of {dataset.name} is a vector of shape "
            f"{shape}; use raw or unit-norm"
        )
    return (1, shape) if dataset.layout == "image" and len(shape) == 2 else (shape[0], shape[1:])


def _convolved(
    x: Floats, mean: NDArray[np.float32], shape: tuple[int, ...], weight: Floats, pool: int, width: int
) -> Floats:
    """Return normalized pooled responses, float32 [n, width], of examples seen as `shape` = (channels, *sides)."""
    import torch

    out = np.empty((len(x), width), dtype=np.float32)
    kernels = torch.from_numpy(weight)
    with torch.no_grad():
        for rows in chunks(len(x), _IMAGES_AT_ONCE):
            block = torch.from_numpy((x[rows] - mean).reshape(-1, *shape))
            out[rows] = _normalized(_responses(block, kernels, pool).numpy(), 0.0)
    return out


def _histograms(x: Floats, shape: tuple[int, ...], cell: int, stride: int) -> Floats:
    """Return centred, normalized histograms, float32 [n, width], of images [n, (c,) h, w]; `shape` is theirs."""
    out = np.empty((len(x), math.prod(shape)), dtype=np.float32)
    for rows in chunks(len(x), _IMAGES_AT_ONCE):
        images = x[rows].reshape(-1, math.prod(x.shape[1:-2]), *x.shape[-2:]).mean(axis=1, dtype=np.float64)
        down, right = np.gradient(images, axis=(1, 2))
        angle = (np.arctan2(down, right) % (2 * np.pi)) * shape[0] / (2 * np.pi)
        lower = np.floor(angle)
        share, length = angle - lower, np.hypot(down, right)
        votes, bins = np.zeros((shape[0], *images.shape)), lower.astype(np.intp)[None]
        np.put_along_axis(votes, bins % shape[0], ((1 - share) * length)[None], axis=0)
        np.put_along_axis(votes, (bins + 1) % shape[0], (share * length)[None], axis=0)
        sums = _in_cells(_in_cells(votes, shape[-2], cell, stride).swapaxes(2, 3), shape[-1], cell, stride)
        sums = sums.swapaxes(2, 3)
        histograms = (sums - sums.mean(axis=0)).swapaxes(0, 1).reshape(len(images), -1)
        out[rows] = _normalized(histograms, 0.0)
    return out


def _in_cells(votes: NDArray[np.float64], cells: int, cell: int, stride: int) -> NDArray[np.float64]:
    """Sum votes [o, n, h, w] over cells of rows, as [o, n, cells, w]."""
    end = stride * (cells - 1) + 1
    return np.asarray(sum(votes[:, :, at : at + end : stride] for at in range(cell)))


def _responses(block: "torch.Tensor", kernels: "torch.Tensor", pool: int) -> "torch.Tensor":
    from torch.nn import functional

    if kernels.ndim == 4:
        return functional.avg_pool2d(functional.conv2d(block, kernels).relu_(), pool).flatten(1)
    return functional.avg_pool1d(functional.conv1d(block, kernels).relu_(), pool).flatten(1)
