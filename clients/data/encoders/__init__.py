"""Encoders: fixed maps from raw data to features, one family a file, and their registry."""

from collections.abc import Callable, Mapping
from typing import Any

from rewindnet.clients.data.dataset import Dataset
from rewindnet.clients.data.encoders import cache, efficientnet, hog, network, random_conv, rows, scattering
from rewindnet.clients.data.encoders.base import FeatureError, Features
from rewindnet.registry import Registry

__all__ = ["ENCODERS", "FeatureError", "Features", "encode"]

#: Called as `encoder(dataset, seed, *, settings)`.
ENCODERS: Registry[Callable[..., Features]] = Registry(
    "features",
    {
        "raw": rows.raw,
        "unit-norm": rows.unit_norm,
        "random-conv": random_conv.random_conv,
        "hog": hog.hog,
        "scattering": scattering.scattering,
        "network": network.network,
        "efficientnet-lite0": efficientnet.efficientnet,
    },
    FeatureError,
)


def encode(kind: str, dataset: Dataset, seed: int, settings: Mapping[str, Any], *, from_disk: bool = True) -> Features:
    """Return features; those of costly encoders are kept on disk, and read from there the next time.

    Args:
        kind: a key of `ENCODERS`.
        dataset: the data.
        seed: the scenario's seed.
        settings: the encoder's.
        from_disk: whether to take features that were computed before, which who verifies must not.

    Raises:
        FeatureError: if there is no such encoder, or it refuses the data or the settings.
    """
    encoder = ENCODERS[kind]
    if not (from_disk and getattr(encoder, "costly", False)):
        return encoder(dataset, seed, **settings)
    return cache.cached(encoder, dataset, seed, settings)
