"""The losses of deep models, of a sample's scores and its class."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from rewindnet.clients.models.errors import ModelError
from rewindnet.user_code import load_code, names_code


class Loss(ABC):
    """A loss of the scores [n, C] of samples of the classes [n]."""

    @abstractmethod
    def losses(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of every sample [n]."""

    def residual(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute the gradient of every sample's loss by its scores [n, C]; by default by differentiating `losses`."""
        with torch.enable_grad():
            point = scores.detach().requires_grad_(True)
            (result,) = torch.autograd.grad(self.losses(point, y).sum(), point)
        return result


class CrossEntropy(Loss):
    """The cross-entropy of the softmax of the scores."""

    def losses(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute log Σ_j e^{z_j} − z_y."""
        return functional.cross_entropy(scores, y, reduction="none")

    def residual(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute p − e_y."""
        result = torch.softmax(scores, dim=1)
        return result.scatter_add_(1, y.unsqueeze(1), result.new_full((), -1.0).expand(len(y), 1))


class MeanSquares(Loss):
    """The mean over the classes of (z_j − 1[j = y])²."""

    def losses(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute ‖z − e_y‖²/C."""
        return (scores - _one_hot(scores, y)).square().mean(dim=-1)

    def residual(self, scores: Tensor, y: Tensor) -> Tensor:
        """Compute 2(z − e_y)/C."""
        return (scores - _one_hot(scores, y)) * (2 / scores.shape[-1])


def _one_hot(scores: Tensor, y: Tensor) -> Tensor:
    """Return e_y for every sample [n, C]; not torch's function, which vmap does not take."""
    return (y.unsqueeze(-1) == torch.arange(scores.shape[-1], device=y.device)).to(scores)


class UserLoss(Loss):
    """A loss of the user's own: a function of scores [n, C] and classes [n] that returns the losses [n].

    Args:
        text: `package.module:function` or `file.py:function`.

    Raises:
        ModelError: if there is no such function, or it does not return one loss for each sample.
    """

    def __init__(self, text: str) -> None:
        self._function: Callable[[Tensor, Tensor], Tensor] = load_code(text, "model.loss", ModelError)
        try:
            shape = tuple(self._function(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64)).shape)
        except Exception as problem:
            raise ModelError(
                f"model.loss {text} fails on scores [3, 2] and classes [3]: {type(problem).__name__}: {problem}"
            ) from None
        if shape != (3,):
            raise ModelError(f"model.loss {text} returns a tensor of shape {list(shape)} for 3 samples, not [3]")

    def losses(self, scores: Tensor, y: Tensor) -> Tensor:
        """Call the function."""
        return self._function(scores, y)


_LOSSES: dict[str, Callable[[], Loss]] = {"cross-entropy": CrossEntropy, "mse": MeanSquares}


def loss_of(text: str) -> Loss:
    """Return the loss of that name, or of the user's own code.

    Args:
        text: `cross-entropy`, `mse`, `package.module:function` or `file.py:function`.

    Raises:
        ModelError: if there is none.
    """
    if text in _LOSSES:
        return _LOSSES[text]()
    if names_code(text):
        return UserLoss(text)
    raise ModelError(f"model.loss is {', '.join(_LOSSES)}, package.module:function or file.py:function, not {text!r}")
