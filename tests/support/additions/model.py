"""A model that proves none of its constants."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Constant, Constants
from rewindnet.clients.models.base import Model


class LeastSquares(Model):
    """Linear scores, fitted to one-hot labels by least squares: a model of a test, G being declared."""

    def __init__(self, features: int, classes: int, *, l2: float = 0.1, gradient: float = 20.0) -> None:
        self.l2, self.inputs, self.outputs, self._gradient = l2, features, classes, gradient

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs

    def initial(self, generator: np.random.Generator) -> NDArray[np.float64]:
        first: NDArray[np.float64] = 0.01 * generator.standard_normal(self.parameters)
        return first

    def _matrix(self, theta: Tensor) -> Tensor:
        return theta.view(len(theta), self.outputs, self.inputs)

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        scores = torch.bmm(x, self._matrix(theta).transpose(1, 2))
        wanted = torch.nn.functional.one_hot(y, self.outputs).to(scores)
        return ((scores - wanted) ** 2).sum(dim=2) / 2

    def scores(self, theta: Tensor, x: Tensor) -> Tensor:
        return torch.einsum("bcq,nq->bnc", self._matrix(theta), x)

    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        return self.scores(theta, x).argmax(dim=2)

    def constants(self, radius: Constant) -> Constants:
        G, L = Constant(self._gradient, "declared"), Constant(radius.value**2 + self.l2, "proven")
        l2 = Constant(self.l2, "proven")
        return Constants("least-squares", radius, G, L, l2, l2)
