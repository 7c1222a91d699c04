"""Convolutions as products of matrices, which many nodes take together as one batched product."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class UnfoldedConv2d(nn.Conv2d):
    """The convolution of `Conv2d`, computed as the product of its weights with the unfolded image.

    Kernels of different nodes side by side are a grouped convolution for vmap, which takes long where groups are
    small; of this it makes one batched product of matrices.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert not isinstance(self.padding, str)
        columns = functional.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)
        found = torch.matmul(weight.flatten(1), columns)
        if bias is not None:
            found = found + bias.unsqueeze(1)
        height, width = (self._side(at, input.shape[at - 2]) for at in (0, 1))
        return found.view(*found.shape[:-1], height, width)

    def _side(self, at: int, length: int) -> int:
        """Return the height (0) or width (1) of the result for an image of this length."""
        reach = int(self.dilation[at]) * (self.kernel_size[at] - 1)
        return (length + 2 * int(self.padding[at]) - reach - 1) // self.stride[at] + 1


def unfold(module: nn.Module) -> None:
    """Have every convolution of a module that can be unfolded computed so.

    Args:
        module: changed in place; its parameters stay as they are.
    """
    for layer in module.modules():
        plain = type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros"
        if plain and not isinstance(layer.padding, str):
            layer.__class__ = UnfoldedConv2d
