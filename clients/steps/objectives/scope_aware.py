"""Scope-aware unlearning: a prompt that is forgotten in front of another one must not change the answer to that.

Ren et al. (2025), "Keeping an eye on LLM unlearning: the hidden risk and remedy". **Reconstructed** from the prose: the
equations and the code could not be read.
"""

from math import isfinite
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.epochs import Samples, mean_gradient
from rewindnet.clients.steps.objectives import ObjectiveError
from rewindnet.clients.steps.objectives.base import Objective


class ScopeAware(Objective):
    """Keep the answers to retained prompts that follow a forgotten one: Ren et al. 2025, against `stealthy` requests.

    To each step on the forget set it adds η times the mean loss of retained answers, of prompts in which a forgotten
    prompt comes first and a retained one, drawn for it, follows.

    Args:
        eta: η, the weight of that loss.

    Raises:
        ObjectiveError: if the weight is not positive.
    """

    reads_tokens: ClassVar[bool] = True

    def __init__(self, *, eta: float = 5.0) -> None:
        if isinstance(eta, bool) or not isinstance(eta, int | float) or not (isfinite(eta) and eta > 0):
            raise ObjectiveError(f"eta of scope-aware must be a positive number, not {eta!r}")
        self._eta = eta

    def gradient(
        self, model: Model, theta: Tensor, forget: Samples, retained: Samples, generator: np.random.Generator
    ) -> Tensor:
        """Compute η times the gradient [1, d] of the mean loss of the joined prompts, without l2."""
        drawn = torch.from_numpy(generator.integers(0, len(retained.y), len(forget.y))).to(retained.y.device)
        both = Samples(joined(forget.x, retained.x[drawn]), retained.y[drawn])
        return mean_gradient(model, theta, both).sub_(theta, alpha=model.l2).mul_(self._eta)


def joined(first: Tensor, second: Tensor) -> Tensor:
    """Return prompts [n, L] in which the tokens of the second follow those of the first, zeros on the right.

    Of what has more than L tokens the last L are left.

    Args:
        first: [n, L], prompts with zeros on the right.
        second: [n, L], likewise.
    """
    size = first.shape[1]
    before, behind = ((part > 0).sum(dim=1, keepdim=True) for part in (first, second))
    skipped = (before + behind - size).clamp(min=0)
    places = torch.arange(size, device=first.device).expand_as(first) + skipped
    own = first.gather(1, places.clamp(max=size - 1))
    other = second.gather(1, (places - before).clamp(min=0, max=size - 1))
    inside = places < before + behind
    return torch.where(places < before, own, other) * inside
