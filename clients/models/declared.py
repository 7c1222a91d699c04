"""A model that is not here, known by its size and its constants: enough for a plan, nothing to learn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Constant, Constants
from rewindnet.clients.models.base import Model, ModelError

if TYPE_CHECKING:
    from torch import Tensor


class Declared(Model):
    """No model, only its size and its constants: for `rewindnet plan`; nothing can be learned with it.

    Its certificates are conditional: they hold only if the constants do. For the rounding, every score counts as a sum
    of as many terms as there are parameters.

    Args:
        features: not used.
        classes: C, the number of scores of a sample.
        parameters: d, the number of parameters.
        G: a bound on the norm of the gradient of one sample's loss.
        L: the smoothness constant of every local objective, l2 term included.
        l2: weight of (l2/2)·‖θ‖², part of L.
        strong_convexity: a lower bound on the eigenvalues of the Hessians; by default −L, which assumes nothing.

    Raises:
        ModelError: if there are no parameters.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        parameters: int,
        G: float,
        L: float,
        l2: float = 0.0,
        strong_convexity: float | None = None,
    ) -> None:
        if parameters < 1:
            raise ModelError(f"model.parameters is a positive number, not {parameters}")
        self.inputs, self.outputs, self.l2 = parameters, classes, l2
        self._G, self._L, self._lowest = G, L, -L if strong_convexity is None else strong_convexity

    @property
    def parameters(self) -> int:
        """The number of parameters that was declared."""
        return self.inputs

    def initial(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return 0, by which the norm of every later model is bounded."""
        return np.zeros(self.inputs)

    def constants(self, radius: Constant) -> Constants:
        """Return the constants as they were declared."""
        G, L, l2, lowest = (Constant(value, "declared") for value in (self._G, self._L, self.l2, self._lowest))
        return Constants("declared", radius, G, L, l2, lowest)

    def design(self, x: Tensor) -> Never:
        """Refuse: there is no model to compute."""
        raise ModelError("the model declared has constants alone; it can be planned with rewindnet plan, but not run")

    def losses(self, theta: Tensor, x: Tensor, y: Tensor) -> Never:
        """Refuse: there is no model to compute."""
        self.design(x)

    def scores(self, theta: Tensor, x: Tensor) -> Never:
        """Refuse: there is no model to compute."""
        self.design(x)

    def predict(self, theta: Tensor, x: Tensor) -> Never:
        """Refuse: there is no model to compute."""
        self.design(x)
