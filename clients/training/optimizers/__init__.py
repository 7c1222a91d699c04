"""Optimizers: how a client turns its gradients into local steps, and their registry."""

from collections.abc import Callable

from rewindnet.clients.training.optimizers.base import Optimizer, OptimizerError
from rewindnet.clients.training.optimizers.sgd import SGD
from rewindnet.registry import Registry

#: Built as `OPTIMIZERS[name](**settings)`.
OPTIMIZERS: Registry[Callable[..., Optimizer]] = Registry(
    "optimizer",
    {
        "sgd": SGD,
        "adam": "rewindnet.clients.training.optimizers.adam:Adam",
        "adamw": "rewindnet.clients.training.optimizers.adamw:AdamW",
    },
    OptimizerError,
)

__all__ = ["OPTIMIZERS", "SGD", "Optimizer", "OptimizerError"]
