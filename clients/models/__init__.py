"""The models. Adding one is a file here and a line in `MODELS`."""

from collections.abc import Callable, Mapping

from rewindnet.clients.models.base import Model, ModelError
from rewindnet.clients.models.huber_logistic import HuberLogistic
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.models.sigmoid import Sigmoid

#: Built as `MODELS[kind](features, classes, **settings)`; keyword-only parameters are what a scenario may set.
MODELS: Mapping[str, Callable[..., Model]] = {
    "logistic": Logistic,
    "huber-logistic": HuberLogistic,
    "sigmoid": Sigmoid,
}

__all__ = ["MODELS", "HuberLogistic", "Logistic", "Model", "ModelError", "Sigmoid"]
