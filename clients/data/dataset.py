"""The data set that every data source returns, and the checks of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.errors import UserError

Layout = Literal["image", "signal", "vector", "prompt", "image-prompt"]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_CHUNK = 4096


class DataError(UserError):
    """Data that cannot be used, in a sentence that says what was found and what is allowed."""


@dataclass(frozen=True, eq=False)
class PublicRows:
    """Rows that are declared public: no request of a client can delete them.

    Attributes:
        x: their features, float32 [n, *shape], of the shape of the task's.
        y: their labels, int64 [n].
        classes: the number of classes of these labels.
        origin: what they are, as the part of a sentence.
        labelled: whether the labels are those of the task.
    """

    x: Floats
    y: Integers
    classes: int
    origin: str
    labelled: bool


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification task: training and test rows, the clients they belong to, and what is publicly known of them.

    Attributes:
        name: the source's name.
        x: training features, float32 [n, *shape].
        y: training labels, int64 [n], each in 0 … classes − 1.
        test_x: test features, float32 [m, *shape].
        test_y: test labels, int64 [m].
        layout: what `shape` means: "image" is [h, w] or [c, h, w], "signal" is [c, t], "prompt" is [L] tokens, of which
            0 is padding on the right, "image-prompt" is [P + L], the pixels of an image and tokens; "vector" is
            anything.
        classes: the number of classes.
        client: the natural client of each training row, int64 [n], or None.
        mean: a *declared public* mean in the units of x, broadcastable to `shape`: a constant known before
            any client's data is seen; None if none is declared.
        class_names: what each class is called in the data, if not by its number.
        client_names: what the natural client of each number is called in the data, if not by its number.
        without_training: the natural clients that have test rows only.
        public: the rows that are declared public; None if none are.
    """

    name: str
    x: Floats
    y: Integers
    test_x: Floats
    test_y: Integers
    layout: Layout
    classes: int
    client: Integers | None = None
    mean: NDArray[np.float32] | float | None = None
    class_names: tuple[str, ...] | None = None
    client_names: tuple[str, ...] | None = None
    without_training: tuple[int, ...] = ()
    public: PublicRows | None = None

    def client_name(self, client: int) -> str:
        """Return what a natural client is called in the data."""
        return str(client) if self.client_names is None else self.client_names[client]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.x.shape[1:]

    def limited(self, limit: int | None, test_limit: int | None = None) -> "Dataset":
        """Return the data with its first training and test rows only (all where None, or if there are fewer).

        Raises:
            DataError: if a limit is < 1.
        """
        for kind, most in (("training", limit), ("test", test_limit)):
            if most is not None and most < 1:
                raise DataError(f"a limit must leave at least 1 {kind} row of {self.name}, {most} was given")
        kept = self
        if test_limit is not None and test_limit < len(self.test_x):
            kept = replace(self, test_x=self.test_x[:test_limit].copy(), test_y=self.test_y[:test_limit].copy())
        if limit is None or limit >= len(self.x):
            return kept
        client = None if self.client is None else self.client[:limit].copy()
        gone = () if client is None or self.client is None else np.setdiff1d(self.client, client).tolist()
        without = tuple(sorted({*self.without_training, *gone}))
        return replace(kept, x=self.x[:limit].copy(), y=self.y[:limit].copy(), client=client, without_training=without)


def checked(
    name: str,
    *,
    x: NDArray[Any],
    y: NDArray[Any],
    test_x: NDArray[Any],
    test_y: NDArray[Any],
    layout: Layout,
    classes: int | None = None,
    client: NDArray[Any] | None = None,
    mean: NDArray[np.float32] | float | None = None,
) -> Dataset:
    """Return the arrays as a `Dataset`, if they make sense.

    Args:
        name: the source's name, used in every error.
        x: training features, numbers [n, *shape].
        y: training labels, integers [n].
        test_x: test features, numbers [m, *shape].
        test_y: test labels, integers [m].
        layout: see `Dataset`.
        classes: the number of classes; None takes the largest label + 1.
        client: natural client of each training row, integers [n].
        mean: see `Dataset`.

    Raises:
        DataError: if features are not finite numbers, labels not integers in range, lengths or shapes differ,
            a part is empty, fewer than 2 classes occur in training, or the layout does not fit the shape.
    """
    train = _part(f"{name}, training rows", x, y)
    test = _part(f"{name}, test rows", test_x, test_y)
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(f"{name}: a training row has shape {x.shape[1:]} but a test row {test_x.shape[1:]}")
    if len(np.unique(train[1])) < 2:
        raise DataError(f"{name}: the training labels must hold at least 2 classes, all of them are {train[1][0]}")
    _check_layout(name, train[0].shape[1:], layout, mean)
    owners = None if client is None else _natural_clients(name, client, len(x))
    count = _class_count(name, train[1], test[1], classes)
    return Dataset(name, *train, *test, layout, count, owners, mean)


def inferred_layout(shape: tuple[int, ...]) -> Layout:
    """Return the layout of an example whose source does not say: 2-d and 3-d are images, all else is a vector."""
    return "image" if len(shape) in (2, 3) else "vector"


def every_fifth(n: int) -> NDArray[np.bool_]:
    """Return the test rows of data that come without a split: the 5th, the 10th, …; bool [n]."""
    return np.asarray(np.arange(n) % 5 == 4)


def chunks(n: int, size: int = _CHUNK) -> Iterator[slice]:
    """Return slices that cover n rows, so that no whole-array temporary is ever made."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _part(where: str, x: NDArray[Any], y: NDArray[Any]) -> tuple[Floats, Integers]:
    if len(x.shape) < 2 or x.dtype.kind not in "biuf":
        raise DataError(f"{where}: features must be numbers [n, ...], not {x.dtype} of shape {x.shape}")
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{where}: labels must be integers [n], not {y.dtype} of shape {y.shape}")
    if len(x) != len(y):
        raise DataError(f"{where}: {len(x)} rows of features but {len(y)} labels")
    if x.size == 0:
        raise DataError(f"{where}: there are none (features of shape {x.shape})")
    if y.min() < 0:
        raise DataError(f"{where}: labels must not be negative, the label of row {y.argmin()} is {y.min()}")
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(x, dtype=np.float32)
    _check_finite(where, features)
    return features, y.astype(np.int64)


def _check_finite(where: str, x: Floats) -> None:
    bad, first = 0, 0
    for rows in chunks(len(x)):
        broken = ~np.isfinite(x[rows]).reshape(rows.stop - rows.start, -1)
        if bad == 0 and broken.any():
            first = rows.start + int(broken.any(axis=1).argmax())
        bad += int(broken.sum())
    if bad:
        raise DataError(f"{where}: {bad} feature values are NaN or infinite as float32, the first in row {first}")


def _check_layout(name: str, shape: tuple[int, ...], layout: Layout, mean: NDArray[Any] | float | None) -> None:
    allowed = {"image": (2, 3), "signal": (2,)}
    if layout in allowed and len(shape) not in allowed[layout]:
        raise DataError(f"{name}: an {layout} is [h, w] or [c, h, w] and a signal [c, t], not of shape {shape}")
    if mean is None:
        return
    try:
        fits = np.broadcast_shapes(np.shape(mean), shape) == shape
    except ValueError:
        fits = False
    if not fits or not np.isfinite(mean).all():
        raise DataError(f"{name}: the mean of shape {np.shape(mean)} is not finite or does not fit {shape}")


def _natural_clients(name: str, client: NDArray[Any], n: int) -> Integers:
    if client.shape != (n,) or client.dtype.kind not in "iu":
        raise DataError(
            f"{name}: natural clients must be {n} integers, one per training row, "
            f"not {client.dtype} of shape {client.shape}"
        )
    return client.astype(np.int64)


def _class_count(name: str, y: Integers, test_y: Integers, classes: int | None) -> int:
    largest = int(max(y.max(), test_y.max()))
    rows = len(y) + len(test_y)
    if classes is None and largest >= rows:
        raise DataError(f"{name}: labels must be coded 0, 1, 2, …, but {rows} rows have labels up to {largest}")
    if classes is not None and largest >= classes:
        raise DataError(f"{name}: labels must lie in 0 … {classes - 1}, the largest is {largest}")
    return largest + 1 if classes is None else classes
