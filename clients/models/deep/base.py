"""The base class of deep models: parameters by layer in one flat row, a loss of scores, and no proven constants."""

from abc import abstractmethod
from collections.abc import Mapping
from math import prod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Constant, Constants
from rewindnet.clients.models.base import Model, ModelError
from rewindnet.clients.models.deep.layout import Layout
from rewindnet.clients.models.deep.losses import loss_of
from rewindnet.clients.models.linear import check_settings


class DeepModel(Model):
    """A model whose scores are a composition of layers; it has no proven constants.

    θ holds the parameters of all layers, flat, in the order of `layout`.

    Args:
        features: p, the number of features.
        classes: C, the number of scores.
        shape: the shape of one sample, whose product is p; None for [p].
        layout: which entries of a row of parameters belong to which layer.
        l2: weight of (l2/2)·‖θ‖² over all parameters.
        loss: `cross-entropy`, `mse`, or a function of the user's own.
        weights_path: a file of initial weights; None to draw them from the seed.
        constants: whether G, L and the curvature are to be estimated along the rounds of learning.

    Raises:
        ModelError: if a setting is out of range, or the shape has another number of features.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None,
        layout: Layout,
        *,
        l2: float,
        loss: str,
        weights_path: str | None,
        constants: Literal["unknown", "estimated"],
    ) -> None:
        check_settings(l2, 0.0)
        shape = (features,) if shape is None else shape
        if prod(shape) != features:
            raise ModelError(f"samples of the shape {list(shape)} do not have {features} features")
        self.l2, self.outputs, self.shape, self.layout = l2, classes, tuple(shape), layout
        # No score is a sum of more terms than there are parameters.
        self.inputs = layout.size
        self._loss, self._weights_path, self.estimates = loss_of(loss), weights_path, constants == "estimated"

    @property
    def parameters(self) -> int:
        """The number of parameters of all layers."""
        return self.layout.size

    @property
    def matrices(self) -> Mapping[str, tuple[int, tuple[int, int]]]:
        """The weights of all layers but embeddings, kernels as matrices with a row for each channel they make."""
        found, at = {}, 0
        for name, shape in self.layout.shapes.items():
            if len(shape) > 1 and name not in self.embeddings:
                found[name] = at, (shape[0], prod(shape[1:]))
            at += prod(shape)
        return found

    @property
    def embeddings(self) -> frozenset[str]:
        """The names of parameters that are tables of vectors, by default none."""
        return frozenset()

    def initial(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return the weights of the file, or draw them."""
        if self._weights_path is not None:
            return self.layout.read(self._weights_path)
        return self.drawn(generator)

    @abstractmethod
    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw θ⁰ [d]."""

    @abstractmethod
    def outputs_of(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the scores [b, n, C] of θ [b, d] on designs x [b, n, p], differentiably."""

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of every sample [b, n]."""
        scores = self.outputs_of(theta, x)
        return self._loss.losses(scores.flatten(0, 1), y.flatten()).view(y.shape)

    def scores(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the scores of every node's model on shared samples [n, p]."""
        return self.outputs_of(theta, x.expand(len(theta), *x.shape))

    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        """Predict the class with the largest score."""
        return self.scores(theta, x).argmax(dim=2)

    def constants(self, radius: Constant) -> Constants:
        """Return constants of which none is known but R and l2; or, until they are estimated, some that might be."""
        if self.estimates:
            return Constants.estimates(self.kind, radius, self.l2, 1.0, 1.0 + self.l2, -1.0)
        return Constants.unknown(self.kind, radius, self.l2)


def uniform_by_inputs(layout: Layout, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw weights and biases uniformly from ±1/√(inputs of the layer), as torch does; scales of norms are 1.

    A parameter `name.bias` belongs to the layer of `name.weight`; a weight of one dimension is the scale of a norm.

    Args:
        layout: the parameters.
        generator: draws them, in the order of the layout.
    """
    values = {}
    for name, shape in layout.shapes.items():
        weight = layout.shapes[name.rpartition(".")[0] + ".weight"]
        if len(weight) == 1:
            values[name] = np.full(shape, 1.0 if name.endswith("weight") else 0.0)
        else:
            values[name] = generator.uniform(-1.0, 1.0, shape) / np.sqrt(prod(weight[1:]))
    return layout.flat(values)
