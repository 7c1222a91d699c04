"""Torch modules of the deep contests, as one writes them without this program."""

from math import prod

from torch import Tensor, nn
from torch.nn import functional


def mlp(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Make a network with one hidden layer of 64 units.

    Args:
        shape: of a sample, which is read flat.
        classes: C.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 64), nn.ReLU(), nn.Linear(64, classes))


def lenet(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Make a network of the size of LeNet.

    Args:
        shape: of an image, [c, 28, 28].
        classes: C.
    """
    return nn.Sequential(
        *(nn.Conv2d(shape[0], 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(784, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)),
    )


class _Block(nn.Module):
    """Two convolutions with GroupNorm and ReLU before each, beside a shortcut."""

    def __init__(self, channels: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm, self.norm_between = nn.GroupNorm(32, channels), nn.GroupNorm(32, after)
        self.first = nn.Conv2d(channels, after, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = stride != 1 or channels != after
        self.shortcut = nn.Conv2d(channels, after, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        active = functional.relu(self.norm(x))
        beside = x if self.shortcut is None else self.shortcut(active)
        result: Tensor = self.second(functional.relu(self.norm_between(self.first(active)))) + beside
        return result


def resnet18(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Make ResNet-18 for small images, with activations before convolutions and GroupNorm.

    Args:
        shape: of an image, [c, h, w].
        classes: C.
    """
    sizes = ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2))
    blocks = [_Block(*size) for size in (*sizes, (512, 512, 1))]
    first = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    return nn.Sequential(first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))
