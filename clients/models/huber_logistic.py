"""Multinomial logistic regression whose per-sample gradients are clipped, as the gradients of a convex loss."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log, sqrt
from typing import TYPE_CHECKING

from rewindnet.certificates import Constant, Constants, derive
from rewindnet.certificates.constants import radius_with_bias
from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class HuberLogistic(Multinomial):
    """Logistic regression with clipped per-sample gradients, still (strongly) convex: constants proven, G as chosen.

    Cross-entropy as long as the label's probability is at least 1 − t, t = clip/√2, and its tangent in the log-odds
    beyond (Huber's device). A sample's gradient is that of the cross-entropy times min(1, t/(1 − p_y)); its norm is at
    most G = clip·R. L = 2u(1 − u)·R² + l2 with u = min(t, 1/2). Proofs: `certificates.constants.huber_logistic`.

    Args:
        features: p, the number of features.
        classes: C.
        l2: weight of (l2/2)·‖θ‖².
        bias: β, the constant feature; features are scaled by √(1−β²), so R = 1 stays 1. 0 means no bias.
        clip: G/R, in (0, √2]; with √2 nothing is clipped.

    Raises:
        ModelError: if l2, bias or clip is out of range.
    """

    def __init__(self, features: int, classes: int, *, l2: float = 1e-4, bias: float = 0.1, clip: float = 0.9) -> None:
        super().__init__(features, classes, l2=l2, bias=bias)
        if not 0 < clip <= sqrt(2.0):
            raise ModelError(f"model.clip must lie in (0, √2], not {clip}")
        self.clip = clip
        self._steepest = clip / sqrt(2.0)
        self._bend = log(self._steepest / (1 - self._steepest)) if self._steepest < 1 else inf

    @property
    def elementwise(self) -> tuple[Callable[[Tensor], Tensor], ...]:
        """The exponential function: its vectors are not rounded correctly."""
        return (torch.exp,)

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute φ(a) of every sample.

        a = log Σ_{j≠y} e^{z_j} − z_y, and φ is the softplus up to the slope t, then its tangent.
        """
        scores, own = torch.bmm(x, self._matrix(theta).transpose(1, 2)), y.unsqueeze(2)
        odds = scores.scatter(2, own, -inf).logsumexp(dim=2) - scores.gather(2, own).squeeze(2)
        # Not softplus, whose derivative jumps at its threshold.
        bent = -torch.nn.functional.logsigmoid(-odds.clamp(max=self._bend))
        return bent + self._steepest * (odds - self._bend).clamp(min=0)

    def constants(self, radius: Constant) -> Constants:
        """Derive the constants from R and the clip alone."""
        return derive("huber-logistic", radius_with_bias(radius, self.bias), l2=self.l2, clip=self.clip)

    def slopes(self, scores: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute weight·min(1, t/(1 − p_y))·(p − e_y).

        1 − p_y is a sum over the other classes, never a difference, so that rounding is small beside the clip.
        """
        own = y.unsqueeze(1)
        scores.sub_(scores.amax(dim=1, keepdim=True)).exp_()
        right = scores.gather(1, own)
        scores.scatter_(1, own, 0.0)
        wrong = scores.sum(dim=1, keepdim=True)
        scores.scatter_(1, own, -wrong)
        return scores.mul_(weight.unsqueeze(1) / torch.maximum(right + wrong, wrong / self._steepest))
