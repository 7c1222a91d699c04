"""A Gaussian mixture in the shape of images, for convolutional models without files."""

from dataclasses import replace
from pathlib import Path

from rewindnet.clients.data.dataset import DataError, Dataset
from rewindnet.clients.data.synthetic import synthetic


def synthetic_images(
    root: Path | None,
    seed: int,
    *,
    samples: int = 2000,
    channels: int = 1,
    side: int = 28,
    classes: int = 10,
    separation: float = 2.0,
) -> Dataset:
    """A Gaussian mixture as square images, drawn from the seed; every fifth row is a test row.

    Args:
        root: not used.
        seed: the scenario's seed.
        samples: training and test rows together; each class has the same number, up to one.
        channels: of an image.
        side: height and width of an image.
        classes: number of classes.
        separation: as for `synthetic`.

    Raises:
        DataError: if a parameter is out of range or leaves fewer than 2 classes in training.
    """
    if channels < 1 or side < 1:
        raise DataError(f"synthetic images need at least 1 channel and 1 pixel, not {channels} and {side} × {side}")
    size = channels * side**2
    flat = synthetic(root, seed, samples=samples, dimensions=size, classes=classes, separation=separation)
    x, test_x = (rows.reshape(-1, channels, side, side) for rows in (flat.x, flat.test_x))
    return replace(flat, name="synthetic-images", x=x, test_x=test_x, layout="image")
