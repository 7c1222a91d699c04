"""The base class of models: their computation for a block of nodes, and their proven constants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Constant, Constants, Spectrum
from rewindnet.clients.data.dataset import Layout
from rewindnet.clients.models.errors import ModelError as ModelError
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class Model(ABC):
    """A parametric model, computed for b nodes at once, parameters flat in one [b, d] buffer.

    The local objective of a node is f(θ) = Σ_k weight_k·loss(θ; x_k, y_k) + (l2/2)·‖θ‖²; weights of a node sum to 1, or
    are all 0 where the node holds no data.

    A model is built as `Model(features, classes, **settings)`, or as `Model(features, classes, shape, **settings)` if
    its third parameter is named `shape`; a fourth one named `words` gets what each class is called. The settings are
    what a scenario may set.

    Attributes:
        l2: the regularisation weight.
        inputs: q, the number of terms in a score: what its rounding grows with.
        outputs: C, the number of scores of a sample.
        estimates: whether G, L and the curvature are estimated along the rounds of learning.
        reads: what a sample has to be, as `Dataset.layout` says it; None for a model that reads any numbers.
        pixels: how many numbers of a sample, the first ones, are those of an image before a prompt.
        words: what each class is called, where the model is built with that; empty elsewhere.
    """

    l2: float
    inputs: int
    outputs: int
    estimates: bool = False
    reads: ClassVar[Layout | None] = None
    pixels: int = 0
    words: tuple[str, ...] = ()

    @property
    @abstractmethod
    def parameters(self) -> int:
        """d, the number of parameters."""

    @property
    def elementwise(self) -> tuple[Callable[[Tensor], Tensor], ...] | None:
        """The functions of single numbers that `gradient` uses and that are not rounded correctly.

        For models that compute every sample by itself but for products of matrices; None where a model may not.
        """
        return None

    @property
    def matrices(self) -> Mapping[str, tuple[int, tuple[int, int]]]:
        """Where each matrix that adapters may change begins in θ, and its shape: by default one row for each score."""
        rows = self.outputs if self.parameters % self.outputs == 0 else 1
        return {"theta": (0, (rows, self.parameters // rows))}

    @abstractmethod
    def initial(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return θ⁰ [d], the same at every node."""

    def design(self, x: Tensor) -> Tensor:
        """Return what `losses` and `predict` read for features x [n, p]; it is computed once, not every round."""
        return x

    def targets(self, y: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the labels [n] of the model's own task, for class labels y [n]."""
        return y

    @abstractmethod
    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of every sample [b, n] for θ [b, d], design x [b, n, q], targets y [b, n], without l2."""

    @abstractmethod
    def scores(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the scores [b, n, C] of θ [b, d] on a shared design x [n, q]: log-odds up to a constant.

        Differentiable in θ, for methods that compare the outputs of two models.
        """

    def representation(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute what the last layer reads [b, n, k] of θ [b, d] on a shared design x [n, q]; by default the scores.

        Differentiable in θ, for methods that compare samples by it.
        """
        return self.scores(theta, x)

    @abstractmethod
    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        """Predict the targets [b, n] by θ [b, d] on the shared design x [n, q]."""

    @abstractmethod
    def constants(self, radius: Constant) -> Constants:
        """Return G, L and the curvature of the local objective for features of norm at most `radius`.

        A model of which they are not known returns `Constants.unknown`.
        """

    def second_moment(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Σ_k z_k·z_kᵀ [q, q] of the designs z_k of features x [n, p], for `curvature`."""
        design = self.design(torch.from_numpy(x))
        return (design.T @ design).numpy()

    def curvature(self, second_moment: NDArray[np.float64]) -> Spectrum | None:
        """Return the eigenvalues of the objective's Hessian at θ⁰ for designs with this Σ_k weight_k·x_k·x_kᵀ [q, q].

        None where the model does not know them, or where they say nothing of what comes later.
        """
        return None

    def gradient(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute ∇f [b, d] at θ [b, d] for designs x [b, n, q], targets y [b, n] and weights [b, n].

        Differentiates `losses`; a model with a closed form overrides this with it.
        """
        with torch.enable_grad():
            point = theta.detach().clone().requires_grad_(True)
            # Nodes do not interact, so the gradient of the sum holds every node's own gradient.
            objective = (weight * self.losses(point, x, y)).sum() + self.l2 / 2 * (point**2).sum()
            (result,) = torch.autograd.grad(objective, point)
        return result

    def sample_gradients(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the gradient [n, d] of every sample's loss, without l2, at one θ [d], for x [n, q] and y [n].

        A model that computes it faster than one client for each sample overrides this.
        """
        points, one = theta.expand(len(y), len(theta)), theta.new_ones(len(y), 1)
        return self.gradient(points, x[:, None], y[:, None], one).sub_(theta, alpha=self.l2)

    def descend(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor, step_size: float) -> None:
        """Take the step θ ← θ − η∇f(θ) in place, for arguments as those of `gradient`.

        A model that needs no buffer for the gradient overrides this.
        """
        theta.add_(self.gradient(theta, x, y, weight), alpha=-step_size)

    def nodes_at_once(self, device: torch.device, samples: int) -> int | None:
        """Return how many nodes are best computed together; None where the size of their samples decides.

        Args:
            device: the device.
            samples: how many samples a node uses at a time.
        """
        return None
