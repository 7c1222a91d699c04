"""FLNet, the convolutional network of federated averaging and of RR-DU: 1,663,370 parameters on MNIST."""

from typing import ClassVar, Literal

from torch import nn

from rewindnet.clients.models.deep.convolutional import ConvolutionalModel, pooled


class FLNet(ConvolutionalModel):
    """The CNN of federated averaging and of RR-DU, 1,663,370 parameters on 28 × 28 images; no proven constants.

    Two convolutions 5 × 5 of 32 and 64 channels, each with ReLU and a pooling by 2, then 512 units. McMahan, Moore,
    Ramage, Hampson and Agüera y Arcas (2017), "Communication-efficient learning of deep networks from decentralized
    data"; its size there is given as 1,663,370.

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one image, [h, w] or [c, h, w]; a sample without one is no image.
        l2: weight of (l2/2)·‖θ‖².
        loss: `cross-entropy`, `mse`, or your own function, as package.module:function or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); drawn from the seed by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if a setting is out of range, or the samples are no images.
    """

    kind: ClassVar[str] = "flnet"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        *,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        def build(depth: int, height: int, width: int, scores: int) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(depth, 32, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(32, 64, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(64 * pooled((height, width), 2, self.kind), 512),
                nn.ReLU(),
                nn.Linear(512, scores),
            )

        super().__init__(
            features, classes, shape, build, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )
