"""Frozen random convolutions as features."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset, Floats, chunks
from rewindnet.clients.data.encoders.base import IMAGES_AT_ONCE, FeatureError, Features, costly, normalized
from rewindnet.topologies.rng import Stream, rng_at

if TYPE_CHECKING:
    import torch


@costly
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
        for rows in chunks(len(x), IMAGES_AT_ONCE):
            block = torch.from_numpy((x[rows] - mean).reshape(-1, *shape))
            out[rows] = normalized(_responses(block, kernels, pool).numpy(), 0.0)
    return out


def _responses(block: "torch.Tensor", kernels: "torch.Tensor", pool: int) -> "torch.Tensor":
    from torch.nn import functional

    if kernels.ndim == 4:
        return functional.avg_pool2d(functional.conv2d(block, kernels).relu_(), pool).flatten(1)
    return functional.avg_pool1d(functional.conv1d(block, kernels).relu_(), pool).flatten(1)
