"""Fully connected networks, their gradients written out in products of all nodes at once."""

from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.activations import ACTIVATIONS, check_beta
from rewindnet.clients.models.deep.base import DeepModel, uniform_by_inputs
from rewindnet.clients.models.deep.layout import Layout

#: Clients that are computed together on a CPU: what a step of more of them touches falls out of cache.
_TOGETHER = 8


class MLP(DeepModel):
    """A fully connected network of any widths, with ReLU or SmeLU; no proven constants.

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one sample, which is read flat; [p] by default.
        widths: the number of units of each hidden layer.
        activation: `relu`, or `smelu`, which is smooth: 0 up to −β, (z + β)²/(4β) up to β, and z beyond.
        beta: β of smelu.
        l2: weight of (l2/2)·‖θ‖².
        loss: `cross-entropy`, `mse`, or your own function of scores [n, C] and classes [n], as package.module:function
            or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); drawn from the seed by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if a setting is out of range.
    """

    kind: ClassVar[str] = "mlp"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        *,
        widths: list[int] | None = None,
        activation: Literal["relu", "smelu"] = "relu",
        beta: float = 0.5,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        hidden = [64] if widths is None else widths
        if any(width < 1 for width in hidden):
            raise ModelError(f"model.widths are numbers of units, at least 1, not {hidden}")
        check_beta(beta)
        sizes = [features, *hidden, classes]
        shapes: dict[str, tuple[int, ...]] = {}
        for at, (before, after) in enumerate(pairwise(sizes)):
            shapes |= {f"{at}.weight": (after, before), f"{at}.bias": (after,)}
        self._layers, self._beta = len(sizes) - 1, beta
        self._activate, self._slope = ACTIVATIONS[activation]
        super().__init__(
            features, classes, shape, Layout(shapes), l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )

    def nodes_at_once(self, device: torch.device, samples: int) -> int | None:
        """Return how many nodes are computed together: on a GPU all of them."""
        return _TOGETHER if device.type == "cpu" else None

    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw weights and biases uniformly from ±1/√(inputs of the layer)."""
        return uniform_by_inputs(self.layout, generator)

    def outputs_of(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the scores [b, n, C]."""
        return self._forward(self.layout.views(theta), x)[-1]

    def representation(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the output [b, n, k] of the last hidden layer; without one the scores."""
        sums = self._forward(self.layout.views(theta), x.expand(len(theta), *x.shape))
        return self._activate(sums[-2], self._beta) if self._layers > 1 else sums[-1]

    def gradient(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute ∇f [b, d] by products of all nodes at once."""
        out = torch.empty_like(theta)
        into = self.layout.views(out)
        for name, value, left, right in self._terms(theta, x, y, weight):
            if right is None:
                torch.sum(left, dim=1, out=into[name]).add_(value, alpha=self.l2)
            else:
                into[name].copy_(torch.baddbmm(value, left.transpose(1, 2), right, beta=self.l2))
        return out

    def descend(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor, step_size: float) -> None:
        """Take the step θ ← θ − η∇f(θ) in place: each layer's product is added to its weights as it is computed."""
        kept = 1 - step_size * self.l2
        for _, value, left, right in self._terms(theta, x, y, weight):
            if right is None:
                shrunk = value if kept == 1 else value.mul_(kept)
                shrunk.sub_(left.sum(dim=1), alpha=step_size)
            else:
                value.baddbmm_(left.transpose(1, 2), right, beta=kept, alpha=-step_size)

    def _terms(
        self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor, Tensor, Tensor | None]]:
        """Yield for each parameter, from the last, its value and the two factors of its gradient leftᵀ·right.

        A bias has no right factor: its gradient is the sum over the samples. What is yielded may be overwritten, since
        what the layers below need of it has been computed.
        """
        values = self.layout.views(theta)
        sums = self._forward(values, x)
        scores = sums[-1]
        flat = self._loss.residual(scores.flatten(0, 1), y.flatten()).view_as(scores)
        residual = flat * weight.unsqueeze(2)
        for at in reversed(range(self._layers)):
            layer = values[f"{at}.weight"]
            below = self._activate(sums[at - 1], self._beta) if at else x
            lower = None
            if at:
                lower = torch.bmm(residual, layer).mul_(self._slope(sums[at - 1], self._beta))
            yield f"{at}.weight", layer, residual, below
            yield f"{at}.bias", values[f"{at}.bias"], residual, None
            if lower is not None:
                residual = lower

    def _forward(self, values: dict[str, Tensor], x: Tensor) -> list[Tensor]:
        """Compute what each layer passes to its activation, [b, n, width] each; last the scores."""
        sums: list[Tensor] = []
        for at in range(self._layers):
            below = self._activate(sums[-1], self._beta) if at else x
            bias = values[f"{at}.bias"].unsqueeze(1)
            sums.append(torch.baddbmm(bias, below, values[f"{at}.weight"].transpose(1, 2)))
        return sums
