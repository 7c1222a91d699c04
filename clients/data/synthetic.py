"""A Gaussian mixture, for tests and for questions about dimension and separation."""

import math
from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import DataError, Dataset, checked, every_fifth
from rewindnet.topologies.rng import Stream, rng_at


def synthetic(
    root: Path | None,
    seed: int,
    *,
    samples: int = 2000,
    dimensions: int = 20,
    classes: int = 2,
    separation: float = 2.0,
) -> Dataset:
    """A Gaussian mixture with one component a class, drawn from the seed; every fifth row is a test row.

    Args:
        root: not used.
        seed: the scenario's seed.
        samples: training and test rows together; each class has the same number, up to one.
        dimensions: length of an example.
        classes: number of classes.
        separation: distance of each class's centre from the origin, in standard deviations of the noise; the
            centres point in uniformly random directions.

    Raises:
        DataError: if a parameter is out of range or leaves fewer than 2 classes in training.
    """
    if classes < 2 or dimensions < 1 or samples < 5 * classes:
        raise DataError(
            f"synthetic data need at least 2 classes, 1 dimension and 5 samples a class; "
            f"{classes} classes, {dimensions} dimensions and {samples} samples were given"
        )
    if not (math.isfinite(separation) and separation >= 0):
        raise DataError(f"the separation of synthetic data must be finite and not negative, not {separation}")
    generator = rng_at(seed, Stream.DATA)
    centers = generator.standard_normal((classes, dimensions))
    centers *= separation / np.linalg.norm(centers, axis=1, keepdims=True)
    y = generator.permutation(np.arange(samples) % classes)
    x = (centers[y] + generator.standard_normal((samples, dimensions))).astype(np.float32)
    test = every_fifth(samples)
    return checked(
        "synthetic",
        x=x[~test],
        y=y[~test],
        test_x=x[test],
        test_y=y[test],
        layout="vector",
        classes=classes,
    )
