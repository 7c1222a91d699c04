"""A convolutional network of the size of LeNet."""

from itertools import pairwise
from typing import ClassVar, Literal

from torch import nn

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.activations import Activation, check_beta
from rewindnet.clients.models.deep.convolutional import ConvolutionalModel, pooled


class CNN(ConvolutionalModel):
    """A convolutional network of the size of LeNet, for images of any size; no proven constants.

    A convolution and a pooling by 2 for each entry of `channels`, then a layer for each entry of `widths`, then the
    scores. LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition".

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one image, [h, w] or [c, h, w]; a sample without one is no image.
        channels: the channels of each convolution.
        kernel: the side of the kernels, an odd number; borders are padded.
        widths: the units of the layers after them.
        activation: `relu`, or `smelu`, which is smooth.
        beta: β of smelu.
        l2: weight of (l2/2)·‖θ‖².
        loss: `cross-entropy`, `mse`, or your own function, as package.module:function or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); drawn from the seed by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if a setting is out of range, or the samples are no images.
    """

    kind: ClassVar[str] = "cnn"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        *,
        channels: list[int] | None = None,
        kernel: int = 5,
        widths: list[int] | None = None,
        activation: Literal["relu", "smelu"] = "relu",
        beta: float = 0.5,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        convolved, dense = channels or [6, 16], [120, 84] if widths is None else widths
        if min([*convolved, *dense], default=1) < 1:
            raise ModelError(f"model.channels and model.widths are at least 1, not {convolved} and {dense}")
        if kernel < 1 or not kernel % 2:
            raise ModelError(f"model.kernel is an odd number, not {kernel}")
        check_beta(beta)

        def build(depth: int, height: int, width: int, scores: int) -> nn.Module:
            layers: list[nn.Module] = []
            for before, after in zip([depth, *convolved[:-1]], convolved, strict=True):
                layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2), Activation(activation, beta)]
                layers += [nn.MaxPool2d(2)]
            sizes = [convolved[-1] * pooled((height, width), len(convolved), self.kind), *dense]
            layers.append(nn.Flatten())
            for before, after in pairwise(sizes):
                layers += [nn.Linear(before, after), Activation(activation, beta)]
            return nn.Sequential(*layers, nn.Linear(sizes[-1], scores))

        super().__init__(
            features, classes, shape, build, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )
