"""A linear classifier under the bounded sigmoid loss: nonconvex, and still with provable constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Constant, Constants, derive
from rewindnet.certificates.constants import radius_with_bias
from rewindnet.clients.models.base import Model, ModelError
from rewindnet.clients.models.linear import check_settings, with_bias
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class Sigmoid(Model):
    """Binary linear classifier under the sigmoid loss s(−y·xᵀθ): nonconvex, constants proven from the feature norm.

    G = R/4 and L = R²/(6√3) + l2 (`certificates.constants`). The two sides are the classes in `positive` and the rest.

    Args:
        features: p, the number of features.
        classes: C, the number of classes of the data.
        l2: weight of (l2/2)·‖θ‖².
        bias: β, the constant feature; features are scaled by √(1−β²), so R = 1 stays 1. 0 means no bias.
        positive: the classes on the positive side; by default the upper half.

    Raises:
        ModelError: if l2 or bias is out of range, or one of the two sides is empty.
    """

    def __init__(
        self, features: int, classes: int, *, l2: float = 1e-4, bias: float = 0.1, positive: list[int] | None = None
    ) -> None:
        check_settings(l2, bias)
        chosen = list(range(classes // 2, classes)) if positive is None else positive
        if not 0 < len(set(chosen)) < classes or not set(chosen) <= set(range(classes)):
            raise ModelError(
                f"model.positive must name some but not all of the classes 0 to {classes - 1}, not {chosen}"
            )
        self.l2, self.bias, self.positive = l2, bias, np.array(sorted(set(chosen)))
        self.inputs, self.outputs = features + (bias > 0), 1

    @property
    def parameters(self) -> int:
        """The number of parameters, q."""
        return self.inputs

    def initial(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return a small random vector, of norm about 0.1."""
        first: NDArray[np.float64] = generator.standard_normal(self.inputs) * (0.1 / np.sqrt(self.inputs))
        return first

    def design(self, x: Tensor) -> Tensor:
        """Return the features with the bias."""
        return with_bias(x, self.bias)

    def targets(self, y: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return 1 for the positive classes, 0 for the others."""
        return np.isin(y, self.positive).astype(np.int64)

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute s(−margin), between 0 and 1."""
        return torch.sigmoid(-self._margins(theta, x, y))

    def scores(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute xᵀθ alone."""
        return (theta @ x.T).unsqueeze(2)

    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        """Predict 1 where xᵀθ > 0."""
        return (theta @ x.T > 0).long()

    def constants(self, radius: Constant) -> Constants:
        """Derive the constants from R alone."""
        return derive("sigmoid", radius_with_bias(radius, self.bias), l2=self.l2)

    def gradient(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute −Σ_k weight_k·s(m_k)·s(−m_k)·y_k·x_k + l2·θ, with m the margins and y = ±1."""
        s = torch.sigmoid(self._margins(theta, x, y))
        slope = weight * s * (1 - s) * (1 - 2 * y)
        return torch.bmm(slope.unsqueeze(1), x).squeeze(1).add_(theta, alpha=self.l2)

    def _margins(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.bmm(x, theta.unsqueeze(2)).squeeze(2) * (2 * y - 1)
