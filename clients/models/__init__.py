"""The models and their registry."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rewindnet.clients.models.errors import ModelError
from rewindnet.registry import Registry

if TYPE_CHECKING:
    from rewindnet.clients.models.base import Model

#: Built as `MODELS[kind](features, classes, *, settings)`.
MODELS: "Registry[Callable[..., Model]]" = Registry(
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


def __getattr__(name: str) -> Any:
    """Import the base class when it is first used, since it takes torch."""
    if name != "Model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rewindnet.clients.models.base import Model

    return Model
