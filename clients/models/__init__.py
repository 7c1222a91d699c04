"""The models and their registry."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rewindnet.clients.models.errors import ModelError
from rewindnet.registry import Registry

if TYPE_CHECKING:
    from rewindnet.clients.models.base import Model

#: Built as `MODELS[kind](features, classes, *, settings)`; see `supplied`.
MODELS: "Registry[Callable[..., Model]]" = Registry(
    "model",
    {
        "logistic": "rewindnet.clients.models.logistic:Logistic",
        "huber-logistic": "rewindnet.clients.models.huber_logistic:HuberLogistic",
        "sigmoid": "rewindnet.clients.models.sigmoid:Sigmoid",
        "mlp": "rewindnet.clients.models.deep.mlp:MLP",
        "cnn": "rewindnet.clients.models.deep.cnn:CNN",
        "flnet": "rewindnet.clients.models.deep.flnet:FLNet",
        "resnet18": "rewindnet.clients.models.deep.resnet18:ResNet18",
        "gpt": "rewindnet.clients.models.deep.gpt:GPT",
        "vlm": "rewindnet.clients.models.deep.vlm:VLM",
        "manifold": "rewindnet.clients.models.deep.manifold:Manifold",
        "module": "rewindnet.clients.models.deep.module:UserModule",
        "declared": "rewindnet.clients.models.declared:Declared",
    },
    ModelError,
)

__all__ = ["MODELS", "Model", "ModelError", "supplied"]


def supplied(
    kind: str, features: int, classes: int, shape: tuple[int, ...], words: tuple[str, ...] = ()
) -> tuple[Any, ...]:
    """Return what a model is built with besides its settings: the shape of a sample and words too, if it takes them.

    Args:
        kind: the name of the model.
        features: p, the number of features.
        classes: C.
        shape: the shape of one sample, for a parameter `shape`.
        words: what each class is called, for a parameter `words` behind it.
    """
    taken = inspect.signature(MODELS[kind]).parameters
    more = {"shape": shape, "words": words}
    return (features, classes, *(value for name, value in more.items() if name in taken))


def __getattr__(name: str) -> Any:
    """Import the base class when it is first used, since it takes torch."""
    if name != "Model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rewindnet.clients.models.base import Model

    return Model
