"""ResNet-18 with activations before convolutions and no batch normalisation: 11,160,258 parameters for two classes."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.activations import Activation, check_beta
from rewindnet.clients.models.deep.convolutional import ConvolutionalModel

#: The channels and the stride of each of the eight blocks.
_BLOCKS = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))


class ResNet18(ConvolutionalModel):
    """ResNet-18 with activations before convolutions and SmeLU, GroupNorm or no norm; no proven constants.

    He, Zhang, Ren and Sun (2016), "Identity mappings in deep residual networks", as for images of 32 × 32: the first
    convolution is 3 × 3. Without a norm it is the network of Mu and Klabjan (2025), "Rewind-to-delete", with 11,160,258
    parameters for two classes. Batch normalisation would make the gradient of a sample depend on others.

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one image, [h, w] or [c, h, w]; a sample without one is no image.
        norm: `none`, or `group`, GroupNorm before each activation.
        groups: the groups of GroupNorm, a divisor of 64.
        activation: `smelu`, which is smooth, or `relu`.
        beta: β of smelu.
        l2: weight of (l2/2)·‖θ‖².
        loss: `cross-entropy`, `mse`, or your own function, as package.module:function or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); drawn from the seed by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if a setting is out of range, or the samples are no images.
    """

    kind: ClassVar[str] = "resnet18"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        *,
        norm: Literal["none", "group"] = "none",
        groups: int = 32,
        activation: Literal["smelu", "relu"] = "smelu",
        beta: float = 0.5,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        check_beta(beta)
        if groups < 1 or 64 % groups:
            raise ModelError(f"model.groups is a divisor of 64, not {groups}")

        def before(channels: int) -> nn.Module:
            activate = Activation(activation, beta)
            return nn.Sequential(nn.GroupNorm(groups, channels), activate) if norm == "group" else activate

        def build(depth: int, height: int, width: int, scores: int) -> nn.Module:
            blocks, channels = [], _BLOCKS[0][0]
            for after, stride in _BLOCKS:
                blocks.append(_Block(before(channels), before(after), channels, after, stride))
                channels = after
            pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
            first = nn.Conv2d(depth, _BLOCKS[0][0], 3, padding=1, bias=False)
            return nn.Sequential(first, *blocks, *pool, nn.Linear(channels, scores))

        super().__init__(
            features, classes, shape, build, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )


class _Block(nn.Module):
    """Two convolutions 3 × 3 beside a shortcut, each after an activation."""

    def __init__(self, before: nn.Module, between: nn.Module, channels: int, after: int, stride: int) -> None:
        super().__init__()
        self.before, self.between = before, between
        self.first = nn.Conv2d(channels, after, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = stride != 1 or channels != after
        self.shortcut = nn.Conv2d(channels, after, 1, stride=stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the two convolutions to the shortcut."""
        active = self.before(x)
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return torch.add(self.second(self.between(self.first(active))), shortcut)
