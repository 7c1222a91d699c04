"""The models and their registry."""

from collections.abc import Callable

from rewindnet.clients.models.base import Model, ModelError
from rewindnet.registry import Registry

#: Built as `MODELS[kind](features, classes, *, settings)`.
MODELS: Registry[Callable[..., Model]] = Registry(
    "model",
    {
        "logistic": "rewindnet.clients.models.logistic:Logistic",
        "huber-logistic": "rewindnet.clients.models.huber_logistic:HuberLogistic",
        "sigmoid": "rewindnet.clients.models.sigmoid:Sigmoid",
        "declared": "rewindnet.clients.models.declared:Declared",
    },
    ModelError,
)

__all__ = ["MODELS", "Model", "ModelError"]
