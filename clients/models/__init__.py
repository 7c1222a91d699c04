"""The models. Adding one is a file here and a line in `MODELS`."""

from collections.abc import Callable, Mapping

from clients.models.huber_logistic import HuberLogistic
from clients.models.logistic import Logistic
from clients.models.model import Model, ModelError
from clients.models.sigmoid import Sigmoid

#: Built as `MODELS[kind](features, classes, **settings)`; keyword-only parameters are what a scenario may set.
MODELS: Mapping[str, Callable[..., Model]] = {
    "logistic": Logistic,
    "huber-logistic": HuberLogistic,
    "sigmoid": Sigmoid,
}

__all__ = ["MODELS", "HuberLogistic", "Logistic", "Model", "ModelError", "Sigmoid"]
