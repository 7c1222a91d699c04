"""Rows that are declared public: of some classes, of another data set, or of clients who volunteer theirs."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, PublicRows
from rewindnet.clients.data.names import listed


def set_apart(dataset: Dataset, classes: Collection[int]) -> Dataset:
    """Return the data without some classes, whose training rows are public; the other classes are the task.

    The classes that remain are numbered again, and keep what they were called.

    Args:
        dataset: the data.
        classes: the classes that are public.

    Raises:
        DataError: if fewer than two classes remain in the training or none in the test rows, or nothing is public.
    """
    kept = [label for label in range(dataset.classes) if label not in classes]
    private, test = np.isin(dataset.y, kept), np.isin(dataset.test_y, kept)
    names = tuple(str(at) for at in range(dataset.classes)) if dataset.class_names is None else dataset.class_names
    public = ", ".join(names[label] for label in sorted(classes))
    if private.all() or len(np.unique(dataset.y[private])) < 2 or not test.any():
        raise DataError(
            f"with the classes {public} public, {dataset.name} must have public rows, and two other classes to learn"
        )
    number = np.full(dataset.classes, -1)
    number[kept] = np.arange(len(kept))
    client = None if dataset.client is None else dataset.client[private].copy()
    gone = () if client is None or dataset.client is None else np.setdiff1d(dataset.client, client).tolist()
    aside = np.searchsorted(np.array(sorted(classes)), dataset.y[~private])
    origin = f"the samples of {dataset.name} of the classes {public}, which are no part of the task"
    return replace(
        dataset,
        x=dataset.x[private].copy(),
        y=number[dataset.y[private]],
        test_x=dataset.test_x[test].copy(),
        test_y=number[dataset.test_y[test]],
        classes=len(kept),
        client=client,
        class_names=tuple(names[label] for label in kept),
        without_training=tuple(sorted({*dataset.without_training, *gone})),
        public=PublicRows(dataset.x[~private].copy(), aside.astype(np.int64), len(classes), origin, False),
    )


def volunteered(dataset: Dataset, rows: Sequence[NDArray[np.int64]], names: tuple[str, ...]) -> Dataset:
    """Return the data with the rows of clients who volunteer theirs declared public; they stay in the network.

    Args:
        dataset: the data.
        rows: of each of these clients, its training rows.
        names: what each of them is called.
    """
    chosen = np.concatenate(rows)
    origin = f"the samples of {len(rows)} clients who volunteered them ({listed(names)})"
    public = PublicRows(dataset.x[chosen], dataset.y[chosen], dataset.classes, origin, True)
    return replace(dataset, public=public)


def from_elsewhere(dataset: Dataset, other: Dataset) -> Dataset:
    """Return the data with the training rows of another data set declared public.

    Images are scaled to the sides of the task's, and get as many channels.

    Args:
        dataset: the data of the task.
        other: the public data.

    Raises:
        DataError: if an example of one is no image, and has another shape than one of the other.
    """
    x = other.x
    if x.shape[1:] != dataset.shape:
        if not dataset.layout == other.layout == "image":
            raise DataError(
                f"an example of {other.name}, which is declared public, has the shape {list(other.shape)}, and one of "
                f"{dataset.name} {list(dataset.shape)}; only images are scaled"
            )
        x = _scaled(x, dataset.shape)
    origin = f"the training rows of {other.name}, another data set"
    return replace(dataset, public=PublicRows(x, other.y, other.classes, origin, False))


def _scaled(x: Floats, shape: tuple[int, ...]) -> Floats:
    """Return images [n, (c,) h, w] with other sides, by bilinear interpolation, and another number of channels."""
    import torch
    from torch.nn.functional import interpolate

    images = torch.from_numpy(x).reshape(len(x), -1, *x.shape[-2:])
    channels = 1 if len(shape) == 2 else shape[0]
    if images.shape[1] != channels:
        images = images.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
    sized = interpolate(images, size=shape[-2:], mode="bilinear", align_corners=False, antialias=True)
    return np.ascontiguousarray(sized.reshape(len(x), *shape).numpy())
