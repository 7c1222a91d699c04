"""An encoder onto the unit sphere with a linear layer on it, and a loss that spreads what it makes over the sphere."""

from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.base import DeepModel, uniform_by_inputs
from rewindnet.clients.models.deep.layout import Layout

_SHORTEST = 1e-12


class Manifold(DeepModel):
    """An encoder onto the unit sphere, and a linear layer on it: for methods that move samples there, like manif-smc.

    A step goes down the mean loss of its samples, that of a decoder that rebuilds them, and up the nuclear norm of
    their representations, which is largest where these fill all directions alike: the maximum manifold capacity
    representation of Yerxa, Kuang, Simoncelli and Chung (2023), arXiv 2303.03307, with one view of a sample. No proven
    constants.

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one sample, which is read flat; [p] by default.
        widths: the number of units of each hidden layer of the encoder, with ReLU; the decoder has the last of them.
        dimensions: of the space of the sphere.
        reconstruction: the weight of the decoder's mean squared error; with 0 there is no decoder.
        capacity: the weight of the nuclear norm.
        l2: weight of (l2/2)·‖θ‖².
        loss: `cross-entropy`, `mse`, or your own function of scores [n, C] and classes [n], as package.module:function
            or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); drawn from the seed by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if a setting is out of range.
    """

    kind: ClassVar[str] = "manifold"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        *,
        widths: list[int] | None = None,
        dimensions: int = 32,
        reconstruction: float = 0.0,
        capacity: float = 1e-3,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        hidden = [256, 256] if widths is None else widths
        if not hidden or any(width < 1 for width in [*hidden, dimensions]):
            raise ModelError(
                "model.widths of manifold are numbers of units of at least one layer, and model.dimensions is at least "
                f"1, not {hidden} and {dimensions}"
            )
        for name, weight in (("reconstruction", reconstruction), ("capacity", capacity)):
            if not 0 <= weight < float("inf"):
                raise ModelError(f"model.{name} of manifold must not be negative, but it is {weight}")
        self._reconstruction, self._capacity, self._layers = reconstruction, capacity, len(hidden) + 1
        sizes = {f"encoder.{at}": pair for at, pair in enumerate(pairwise([features, *hidden, dimensions]))}
        sizes["head"] = dimensions, classes
        if reconstruction:
            sizes |= {"decoder.0": (dimensions, hidden[-1]), "decoder.1": (hidden[-1], features)}
        shapes: dict[str, tuple[int, ...]] = {}
        for name, (before, after) in sizes.items():
            shapes |= {f"{name}.weight": (after, before), f"{name}.bias": (after,)}
        super().__init__(
            features, classes, shape, Layout(shapes), l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )

    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw weights and biases uniformly from ±1/√(inputs of the layer)."""
        return uniform_by_inputs(self.layout, generator)

    def outputs_of(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the scores [b, n, C]."""
        values = self.layout.views(theta)
        return _layer(values, "head", self._encoded(values, x))

    def representation(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the points on the sphere [b, n, dimensions] of θ [b, d] on shared samples x [n, p]."""
        return self._encoded(self.layout.views(theta), x.expand(len(theta), *x.shape))

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of every sample [b, n], with that of the decoder."""
        return self._losses(theta, x, y)[0]

    def gradient(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute the gradient [b, d] of what a step goes down, with the nuclear norm of its samples."""
        with torch.enable_grad():
            point = theta.detach().clone().requires_grad_(True)
            losses, z = self._losses(point, x, y)
            objective = (weight * losses).sum() + self.l2 / 2 * (point**2).sum()
            if self._capacity:
                # Rows that only fill the batch have the weight 0.
                filled = z * (weight > 0).unsqueeze(2)
                objective = objective - self._capacity * torch.linalg.matrix_norm(filled, "nuc").sum()
            (result,) = torch.autograd.grad(objective, point)
        return result

    def _losses(self, theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss of every sample [b, n], and the points on the sphere [b, n, dimensions]."""
        values = self.layout.views(theta)
        z = self._encoded(values, x)
        found = self._loss.losses(_layer(values, "head", z).flatten(0, 1), y.flatten()).view(y.shape)
        if self._reconstruction:
            rebuilt = _layer(values, "decoder.1", _layer(values, "decoder.0", z).relu())
            found = found + self._reconstruction * (rebuilt - x).square().mean(dim=2)
        return found, z

    def _encoded(self, values: dict[str, Tensor], x: Tensor) -> Tensor:
        """Compute the points on the sphere [b, n, dimensions] of samples [b, n, p]."""
        for at in range(self._layers):
            x = _layer(values, f"encoder.{at}", x if at == 0 else x.relu())
        return torch.nn.functional.normalize(x, dim=2, eps=_SHORTEST)


def _layer(values: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Compute a linear layer [b, n, after] of x [b, n, before]."""
    return torch.baddbmm(values[f"{name}.bias"].unsqueeze(1), x, values[f"{name}.weight"].transpose(1, 2))
