"""Sources of data: a source is a function `(root, seed, *, parameters) -> Dataset`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewindnet.clients.data import (
    adult,
    cifar,
    concepts,
    cora,
    declared,
    digits,
    facts,
    mnist,
    npz,
    olivetti,
    shakespeare,
    synthetic,
    synthetic_images,
    tables,
    uci_har,
)
from rewindnet.clients.data.dataset import DataError, Dataset, Layout
from rewindnet.registry import Registry

__all__ = ["SOURCES", "DataError", "Dataset", "Layout", "load"]

#: Called as `source(root, seed, *, settings)`.
SOURCES: Registry[Callable[..., Dataset]] = Registry(
    "data source",
    {
        "digits": digits.digits,
        "mnist": mnist.mnist,
        "fashion-mnist": mnist.fashion_mnist,
        "cifar-10": cifar.cifar_10,
        "uci-har": uci_har.uci_har,
        "adult": adult.adult,
        "olivetti": olivetti.olivetti,
        "shakespeare": shakespeare.shakespeare,
        "cora": cora.cora,
        "facts": facts.facts,
        "concepts": concepts.concepts,
        "npz": npz.npz,
        "csv": tables.csv,
        "parquet": tables.parquet,
        "synthetic": synthetic.synthetic,
        "synthetic-images": synthetic_images.synthetic_images,
        "declared": declared.declared,
    },
    DataError,
)


def load(
    source: str,
    root: str | Path | None = None,
    seed: int = 0,
    limit: int | None = None,
    test_limit: int | None = None,
    **parameters: Any,
) -> Dataset:
    """Return the data of a source, checked.

    Args:
        source: a key of `SOURCES`.
        root: the folder of official files; None takes the environment variable REWINDNET_DATA, else ./data.
        seed: the scenario's seed.
        limit: keep only the first so many training rows; None keeps all.
        test_limit: keep only the first so many test rows; None keeps all.
        parameters: the source's own keyword-only parameters.

    Raises:
        DataError: if the source or a parameter is unknown, a file is missing or damaged, the data make no
            sense, or a limit is < 1.
    """
    dataset: Dataset = SOURCES.build(source, None if root is None else Path(root), seed, **parameters)
    return dataset.limited(limit, test_limit)
