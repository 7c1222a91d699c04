"""Encoders: fixed maps from raw data to features, one family a file, and their registry."""

from collections.abc import Callable

from rewindnet.clients.data.encoders import hog, random_conv, rows
from rewindnet.clients.data.encoders.base import FeatureError, Features
from rewindnet.registry import Registry

__all__ = ["ENCODERS", "FeatureError", "Features"]

#: Called as `encoder(dataset, seed, *, settings)`.
ENCODERS: Registry[Callable[..., Features]] = Registry(
    "features",
    {
        "raw": rows.raw,
        "unit-norm": rows.unit_norm,
        "random-conv": random_conv.random_conv,
        "hog": hog.hog,
    },
    FeatureError,
)
