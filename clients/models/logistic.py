"""Multinomial logistic regression: convex, strongly so with l2 > 0, and with provable constants."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Constant, Constants, Spectrum, derive
from rewindnet.certificates.constants import radius_with_bias
from rewindnet.clients.models.base import Model
from rewindnet.clients.models.linear import check_settings, with_bias


class Logistic(Model):
    """Multinomial logistic regression with bias and l2: (strongly) convex, constants proven from the feature norm.

    θ is the class-by-feature matrix [C, q], flat. G = √2·R and L = R²/2 + l2 (`rewindnet.certificates.constants`).

    Args:
        features: p, the number of features.
        classes: C.
        l2: weight of (l2/2)·‖θ‖².
        bias: β, the constant feature; features are scaled by √(1−β²), so R = 1 stays 1. 0 means no bias.

    Raises:
        ModelError: if l2 or bias is out of range.
    """

    def __init__(self, features: int, classes: int, *, l2: float = 1e-4, bias: float = 0.1) -> None:
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

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the cross-entropy of every sample."""
        scores = torch.bmm(x, self._matrix(theta).transpose(1, 2))
        return torch.logsumexp(scores, dim=2) - scores.gather(2, y.unsqueeze(2)).squeeze(2)

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

    def constants(self, radius: Constant) -> Constants:
        """Derive the constants from R alone."""
        return derive("logistic", radius_with_bias(radius, self.bias), l2=self.l2)

    def curvature(self, second_moment: NDArray[np.float64]) -> Spectrum:
        """Return the spectrum of (I − 11ᵀ/C)/C ⊗ Σ_k weight_k·x_k·x_kᵀ + l2·I.

        It is the Hessian at θ = 0, where every class has probability 1/C: every eigenvalue of the second moment, over C
        and plus l2, C − 1 times; and l2, where all classes move alike.
        """
        C, q = self.outputs, self.inputs
        spread = np.maximum(np.linalg.eigvalsh(second_moment), 0.0) / C
        return Spectrum(np.append(spread, 0.0) + self.l2, np.append(np.full(q, C - 1.0), q))

    def gradient(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute Σ_k weight_k·(p_k − e_{y_k})·x_kᵀ + l2·θ."""
        matrix = self._matrix(theta)
        residual = torch.softmax(torch.bmm(x, matrix.transpose(1, 2)), dim=2)
        residual.scatter_add_(2, y.unsqueeze(2), residual.new_full((), -1.0).expand(*y.shape, 1))
        residual.mul_(weight.unsqueeze(2))
        return torch.bmm(residual.transpose(1, 2), x).add_(matrix, alpha=self.l2).flatten(1)

    def _matrix(self, theta: Tensor) -> Tensor:
        return theta.view(len(theta), self.outputs, self.inputs)
