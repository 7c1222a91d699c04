"""The layout of a deep model's parameters in one flat row: which entries belong to which layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.data.tensor_files import tensors_of
from rewindnet.clients.models.errors import ModelError


@dataclass(frozen=True)
class Layout:
    """The shapes of a model's parameters by name, in the order in which they lie in a row.

    Attributes:
        shapes: the shape of each parameter.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        """d, the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    def views(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the parameters of rows θ [b, d] or of one row [d], by name, as views of their own shapes."""
        parts = torch.split(theta, [prod(shape) for shape in self.shapes.values()], dim=-1)
        leading = theta.shape[:-1]
        return {
            name: part.view(*leading, *shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def flat(self, values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return parameters given by name as one row [d]."""
        return np.concatenate([np.ravel(values[name]) for name in self.shapes])

    def read(self, path: str) -> NDArray[np.float64]:
        """Return the row [d] of a file of weights: safetensors, or a state_dict that torch.save has written.

        Args:
            path: the file; its tensors have the names and shapes of the parameters.

        Raises:
            ModelError: if it cannot be read, or holds other parameters than the model has.
        """
        tensors = tensors_of(path, "model.weights_path", ModelError)
        missing, surplus = set(self.shapes) - set(tensors), set(tensors) - set(self.shapes)
        if missing or surplus:
            named = f"lacks {_few(missing)}" if missing else f"has {_few(surplus)}, which the model does not have"
            raise ModelError(f"model.weights_path: '{path}' {named}; the parameters are {_few(set(self.shapes))}")
        for name, shape in self.shapes.items():
            if tuple(tensors[name].shape) != shape:
                raise ModelError(
                    f"model.weights_path: {name} of '{path}' has the shape {list(tensors[name].shape)}, and that of "
                    f"the model {list(shape)}"
                )
        row = self.flat({name: tensors[name].detach().double().cpu().numpy() for name in self.shapes})
        if not np.isfinite(row).all():
            raise ModelError(f"model.weights_path: '{path}' has weights that are not finite")
        return row


def _few(names: set[str]) -> str:
    """Name the first few of some parameters."""
    first = sorted(names)[:4]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
