"""The rows themselves as features: as they are, clipped to a norm, or divided by their norms."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset
from rewindnet.clients.data.encoders.base import FeatureError, Features, clipped, flat, longest, normalized


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
    x, test_x = (flat(part) for part in (dataset.x, dataset.test_x))
    if radius is None and not len(x):
        raise FeatureError(f"the radius of raw features is read off the data, and {dataset.name} has none; set radius")
    if radius is None:
        return Features(x, test_x, longest(x), "estimated", dataset.shape)
    if dataset.layout in ("prompt", "image-prompt"):
        raise FeatureError(f"the tokens of {dataset.name} are no quantities to be clipped; leave features.radius out")
    if not (math.isfinite(radius) and radius > 0):
        raise FeatureError(f"the radius of raw features must be positive and finite, not {radius}")
    return Features(clipped(x, radius), clipped(test_x, radius), radius, "enforced", dataset.shape)


def unit_norm(dataset: Dataset, seed: int, *, center: Literal["public", "zero"] | float = "public") -> Features:
    """Each row minus a public mean, divided by its norm: ‖x‖ ≤ 1, proven.

    The norm of every row as stored (float32, summed in float64) is at most 1 exactly; rows equal to the mean
    become zero.

    Args:
        dataset: the data.
        seed: not used.
        center: what is subtracted: the source's declared public mean (or that of the rows that are declared public, or
            zero, if it declares none), zero, or a number that must not be computed from the clients' data.

    Raises:
        FeatureError: if the centre is neither of the words nor a finite number.
    """
    if dataset.layout in ("prompt", "image-prompt"):
        raise FeatureError(f"the tokens of {dataset.name} are no quantities that have a norm; use features=raw")
    offset = _center(dataset, center)
    x, test_x = (normalized(flat(part), offset) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 1.0, "proven", dataset.shape)


def _center(dataset: Dataset, center: str | float) -> NDArray[np.float64] | float:
    if center == "public" and dataset.mean is None and dataset.public is not None:
        return np.asarray(flat(dataset.public.x).mean(axis=0, dtype=np.float64))
    if center == "zero" or (center == "public" and dataset.mean is None):
        return 0.0
    if center == "public":
        mean = np.asarray(dataset.mean, dtype=np.float64)
        return np.broadcast_to(mean, dataset.shape).reshape(-1)
    if isinstance(center, str) or not math.isfinite(center):
        raise FeatureError(f"the center of unit-norm must be public, zero or a finite number, not {center!r}")
    return float(center)
