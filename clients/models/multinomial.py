"""The base class of linear models with a score for each class."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Spectrum
from rewindnet.clients.models.base import Model
from rewindnet.clients.models.linear import array_with_bias, check_settings, with_bias
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class Multinomial(Model):
    """A linear model with a score for each class, and a convex loss of the scores.

    θ is the class-by-feature matrix [C, q], flat.

    Args:
        features: p, the number of features.
        classes: C.
        l2: weight of (l2/2)·‖θ‖².
        bias: β, the constant feature; features are scaled by √(1−β²), so R = 1 stays 1. 0 means no bias.

    Raises:
        ModelError: if l2 or bias is out of range.
    """

    def __init__(self, features: int, classes: int, *, l2: float, bias: float) -> None:
        check_settings(l2, bias)
        self.l2, self.bias = l2, bias
        self.inputs, self.outputs = features + (bias > 0), classes

    @property
    def parameters(self) -> int:
        """The number of parameters, C·q."""
        return self.outputs * self.inputs

    def initial(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return 0: the objective is convex."""
        return np.zeros(self.parameters)

    def design(self, x: Tensor) -> Tensor:
        """Return the features with the bias."""
        return with_bias(x, self.bias)

    def second_moment(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute it without torch, which a plan does not take."""
        design = array_with_bias(x, self.bias)
        return design.T @ design

    def scores(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute a score for each class."""
        return self._by_sample(theta, x).transpose(0, 1)

    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        """Predict the class with the largest score."""
        return self._by_sample(theta, x).argmax(dim=2).T

    def _by_sample(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the scores [n, b, C]."""
        scores = x @ self._matrix(theta).reshape(-1, self.inputs).T
        return scores.view(len(x), -1, self.outputs)

    @abstractmethod
    def slopes(self, scores: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute the gradients of the weighted losses in the scores [b, C, n], which may be overwritten."""

    def gradient(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute Σ_k slopes_k·x_kᵀ + l2·θ.

        Scores have the classes before the samples: few rows of many numbers make faster products.
        """
        return self.gradient_of(theta, self.slopes_at(theta, x, y, weight), x)

    def slopes_at(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute the gradients of the weighted losses in the scores at θ, [b, C, n]."""
        return self.slopes(torch.bmm(self._matrix(theta), x.transpose(1, 2)), y, weight)

    def gradient_of(self, theta: Tensor, slopes: Tensor, x: Tensor) -> Tensor:
        """Compute the gradient [b, d] from the slopes."""
        return torch.bmm(slopes, x).add_(self._matrix(theta), alpha=self.l2).flatten(1)

    def curvature(self, second_moment: NDArray[np.float64]) -> Spectrum:
        """Return the spectrum of (I − 11ᵀ/C)/C ⊗ Σ_k weight_k·x_k·x_kᵀ + l2·I.

        It is the Hessian at θ = 0, where every class has probability 1/C: every eigenvalue of the second moment, over C
        and plus l2, C − 1 times; and l2, where all classes move alike.
        """
        C, q = self.outputs, self.inputs
        spread = np.maximum(np.linalg.eigvalsh(second_moment), 0.0) / C
        return Spectrum(np.append(spread, 0.0) + self.l2, np.append(np.full(q, C - 1.0), q))

    def _matrix(self, theta: Tensor) -> Tensor:
        return theta.view(len(theta), self.outputs, self.inputs)
