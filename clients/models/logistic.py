"""Multinomial logistic regression: convex, strongly so with l2 > 0, and with provable constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rewindnet.certificates import Constant, Constants, derive
from rewindnet.certificates.constants import radius_with_bias
from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class Logistic(Multinomial):
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
        super().__init__(features, classes, l2=l2, bias=bias)

    @property
    def elementwise(self) -> tuple[Callable[[Tensor], Tensor], ...]:
        """None but the softmax of each sample."""
        return ()

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the cross-entropy of every sample."""
        scores = torch.bmm(x, self._matrix(theta).transpose(1, 2))
        return torch.logsumexp(scores, dim=2) - scores.gather(2, y.unsqueeze(2)).squeeze(2)

    def constants(self, radius: Constant) -> Constants:
        """Derive the constants from R alone."""
        return derive("logistic", radius_with_bias(radius, self.bias), l2=self.l2)

    def slopes(self, scores: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute weight·(p − e_y)."""
        slopes, right = torch.softmax(scores, dim=1), y.unsqueeze(1)
        slopes.scatter_add_(1, right, slopes.new_full((), -1.0).expand(right.shape))
        return slopes.mul_(weight.unsqueeze(1))

    def slopes_given_right(self, scores: Tensor, right: Tensor, weight: Tensor) -> Tensor:
        """Compute weight·(p − e_y) from what is computed once for many scores.

        Args:
            scores: [b, C, n].
            right: [b, C, n], weight·e_y.
            weight: [b, n].
        """
        return torch.softmax(scores, dim=1).mul_(weight.unsqueeze(1)).sub_(right)
