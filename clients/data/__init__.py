"""Where data come from: a source is a function `(root, seed, *, parameters) -> Dataset`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewindnet.clients.data import cifar, declared, digits, mnist, npz, synthetic, uci_har
from rewindnet.clients.data.dataset import DataError, Dataset, Layout

__all__ = ["SOURCES", "DataError", "Dataset", "Layout", "load"]

SOURCES: dict[str, Callable[..., Dataset]] = {
    "digits": digits.digits,
    "mnist": mnist.mnist,
    "fashion-mnist": mnist.fashion_mnist,
    "cifar-10": cifar.cifar_10,
    "uci-har": uci_har.uci_har,
    "npz": npz.npz,
    "synthetic": synthetic.synthetic,
    "declared": declared.declared,
}


def load(
    source: str, root: str | Path | None = None, seed: int = 0, limit: int | None = None, **parameters: Any
) -> Dataset:
    """The data of a source, checked.

    Args:
        source: a key of `SOURCES`.
        root: the folder of official files; None takes the environment variable REWINDNET_DATA, else ./data.
        seed: the scenario's seed.
        limit: keep only the first so many training rows; None keeps all.
        parameters: the source's own keyword-only parameters.

    Raises:
        DataError: if the source or a parameter is unknown, a file is missing or damaged, the data make no
            sense, or limit < 1.
    """
    if source not in SOURCES:
        raise DataError(f"unknown data source {source!r}; there are {', '.join(SOURCES)}")
    function = SOURCES[source]
    folder = None if root is None else Path(root)
    try:
        inspect.signature(function).bind(folder, seed, **parameters)
    except TypeError as error:
        raise DataError(f"data source {source}: {error}") from None
    return function(folder, seed, **parameters).limited(limit)
