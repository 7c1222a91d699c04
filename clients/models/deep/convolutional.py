"""What convolutional networks of images share: the shape of an image with its channels, and weights from the seed."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.base import uniform_by_inputs
from rewindnet.clients.models.deep.torch_model import TorchModel


class ConvolutionalModel(TorchModel):
    """A network of images [h, w] or [c, h, w], built layer by layer for their size.

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one image; None for samples that are none.
        build: builds the module for c, h, w and C.
        l2: weight of (l2/2)·‖θ‖².
        loss: as for `DeepModel`.
        weights_path: as for `DeepModel`.
        constants: as for `DeepModel`.

    Raises:
        ModelError: if the samples are no images, or too small for the layers.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None,
        build: Callable[[int, int, int, int], nn.Module],
        *,
        l2: float,
        loss: str,
        weights_path: str | None,
        constants: Literal["unknown", "estimated"],
    ) -> None:
        shape = (features,) if shape is None else shape
        image = (1, *shape) if len(shape) == 2 else tuple(shape)
        if len(image) != 3:
            raise ModelError(
                f"the model {self.kind} takes images of the shape [height, width] or [channels, height, width], and "
                f"these samples have the shape {list(shape)}; use mlp, or features raw or unit-norm of images"
            )
        # The weights are drawn by `drawn`; what torch draws as it builds the layers is thrown away.
        with torch.random.fork_rng(devices=[]):
            module = build(*image, classes)
        super().__init__(
            features, classes, image, module, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )

    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw weights and biases uniformly from ±1/√(inputs of the layer)."""
        return uniform_by_inputs(self.layout, generator)


def pooled(sides: tuple[int, int], times: int, kind: str) -> int:
    """Return the number of places that are left of an image after pooling by 2 several times.

    Args:
        sides: height and width.
        times: how often.
        kind: the model, for messages.

    Raises:
        ModelError: if none is left.
    """
    left = (sides[0] >> times) * (sides[1] >> times)
    if not left:
        raise ModelError(f"the model {kind} pools images to a {2**times}th of their sides, and these are {sides}")
    return left
