"""Any torch module of the user's own as the model of every client."""

import inspect
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.checks import check_module
from rewindnet.clients.models.deep.torch_model import TorchModel
from rewindnet.user_code import load_code


class UserModule(TorchModel):
    """Any torch module: a class of your own, as package.module:Net or file.py:Net; no proven constants.

    The class is called with `settings`; `shape` and `classes` are passed by name if its constructor has parameters of
    these names. The module takes samples [n, *shape] and returns scores [n, C]. It must compute every sample by itself,
    without random draws and without changing its buffers; BatchNorm and dropout are refused. Parameters that do not
    require a gradient stay as the constructor made them. The constructor draws the initial weights from torch's
    generator, which is seeded for it and then put back.

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one sample; [p] by default.
        path: the class; the content of its file is an input of the run.
        settings: what the class is called with.
        l2: weight of (l2/2)·‖θ‖² over all parameters.
        loss: `cross-entropy`, `mse`, or your own function of scores [n, C] and classes [n], as package.module:function
            or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); the constructor's by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if there is no such class, it refuses its settings, or the network cannot learn it.
    """

    kind: ClassVar[str] = "module"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        *,
        path: str,
        settings: dict[str, Any] | None = None,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        shape = (features,) if shape is None else shape
        self._path, self._class = path, load_code(path, "model.path", ModelError)
        self._arguments = {**_supplied(self._class, shape, classes), **(settings or {})}
        module = self._built(0)
        check_module(module, shape, classes, f"the module {path}")
        super().__init__(
            features, classes, shape, module, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )

    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return the weights that the constructor draws with a seed of this generator."""
        made = dict(self._built(int(generator.integers(2**62))).named_parameters())
        return self.layout.flat({name: made[name].detach().double().numpy() for name in self.layout.shapes})

    def _built(self, seed: int) -> nn.Module:
        """Build the module, with torch's generator at a seed; its state is put back afterwards."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = self._class(**self._arguments)
            except Exception as problem:
                given = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items())
                raise ModelError(
                    f"the module {self._path} cannot be built with ({given}): {type(problem).__name__}: {problem}"
                ) from None
        if not isinstance(module, nn.Module):
            raise ModelError(f"model.path {self._path} makes a {type(module).__name__}, which is no torch.nn.Module")
        return module


def _supplied(made: Any, shape: tuple[int, ...], classes: int) -> dict[str, Any]:
    """Return the shape and the number of classes as far as a constructor has parameters of these names."""
    if not callable(made):
        raise ModelError(
            f"model.path names a {type(made).__name__}; it names a class, or a function that makes a module"
        )
    try:
        names = inspect.signature(made).parameters
    except ValueError:
        return {}
    return {name: value for name, value in (("shape", shape), ("classes", classes)) if name in names}
