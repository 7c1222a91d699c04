"""Deep models that are a torch module: gradients of many nodes at once by vmap, or of one node after the other.

On a CPU, nodes without convolutions are computed together by vmap over a dict of views, which is faster than one node
after the other for small layers, and nodes with convolutions one after the other: vmap turns their convolutions into
grouped ones, which are slower there. On a GPU grouped ones are faster, of LeNet by far and of ResNet-18 too, so that as
many nodes are computed together as fit. `rewindnet bench module cnn cnn-1000 resnet18` measures it. The rule depends on
the module, the batch and the device alone, so that it is the same on every transport.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import cached_property
from threading import get_ident
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from rewindnet.clients.models.deep.base import DeepModel
from rewindnet.clients.models.deep.layout import Layout

#: Numbers of parameters that are computed together on a CPU: with more nodes at once, vmap takes less time for each.
_TOGETHER = 1 << 23
#: The share of a GPU's memory for what the steps of nodes that are computed together keep; the rest is for models.
_SHARE = 0.1


class TorchModel(DeepModel):
    """A model whose scores a torch module computes.

    Args:
        features: p, the number of features.
        classes: C.
        shape: the shape of one sample as the module takes it.
        module: the module, which is only read; parameters that do not require a gradient stay as they are.
        l2: weight of (l2/2)·‖θ‖².
        loss: as for `DeepModel`.
        weights_path: as for `DeepModel`.
        constants: as for `DeepModel`.

    Raises:
        ModelError: as `DeepModel`.
    """

    kind: ClassVar[str] = "module"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...],
        module: nn.Module,
        *,
        l2: float,
        loss: str,
        weights_path: str | None,
        constants: Literal["unknown", "estimated"],
    ) -> None:
        learned = {name: tuple(one.shape) for name, one in module.named_parameters() if one.requires_grad}
        super().__init__(
            features, classes, shape, Layout(learned), l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )
        self._module = module
        self._convolves = any(isinstance(layer, nn.modules.conv._ConvNd) for layer in module.modules())
        self._copies: dict[tuple[int, torch.device, torch.dtype], nn.Module] = {}

    @property
    def embeddings(self) -> frozenset[str]:
        """The names of the tables of embedding layers."""
        layers = self._module.named_modules()
        return frozenset(f"{name}.weight" for name, layer in layers if isinstance(layer, nn.Embedding))

    def nodes_at_once(self, device: torch.device, samples: int) -> int | None:
        """Return how many nodes are computed together: on a GPU as many as its memory holds with their steps."""
        if self.one_by_one(device):
            return 1
        if device.type == "cpu":
            return max(1, _TOGETHER // self.parameters)
        memory = torch.cuda.get_device_properties(device).total_memory
        return max(1, int(_SHARE * memory) // (4 * (samples * self._kept_of_a_sample + 3 * self.parameters)))

    def one_by_one(self, device: torch.device) -> bool:
        """Return whether nodes are computed one after the other on a device.

        In mixed precision they are on a CPU, where vmap does not take norms whose inputs and weights differ in type.
        """
        return device.type == "cpu" and (self._convolves or torch.is_autocast_enabled("cpu"))

    @cached_property
    def _kept_of_a_sample(self) -> int:
        """The numbers that a step keeps of a sample until it has gone back through the layers, about."""
        kept: list[int] = []

        def note(saved: Tensor) -> Tensor:
            kept.append(saved.numel())
            return saved

        samples = torch.zeros(2, *self.shape, dtype=next(self._module.parameters()).dtype)
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
            self._module(samples)
        return max(1, (sum(kept) - self.parameters) // 2)

    def outputs_of(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute the scores [b, n, C], all nodes together or one after the other."""
        module = self._own_copy(theta)

        def scores(values: dict[str, Tensor], samples: Tensor) -> Tensor:
            result: Tensor = functional_call(module, values, (self._shaped(samples),))
            return result

        if not self.one_by_one(theta.device):
            together: Tensor = vmap(scores)(self.layout.views(theta), x)
            return together
        # Copies of rows, as in `_gradients_alone`.
        alone = (self.layout.views(row.clone()) for row in theta)
        return torch.stack([scores(views, samples) for views, samples in zip(alone, x, strict=True)])

    def representation(self, theta: Tensor, x: Tensor) -> Tensor:
        """Compute what the linear layer that was defined last reads [b, n, k]; without one the scores."""
        module = self._own_copy(theta)
        linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        if not linear:
            return self.scores(theta, x)
        read: list[Tensor] = []
        hook = linear[-1].register_forward_pre_hook(lambda layer, given: read.append(given[0]))
        try:
            for views in (self.layout.views(row) for row in theta):
                functional_call(module, views, (self._shaped(x),))
        finally:
            hook.remove()
        return torch.stack([of.flatten(1) for of in read])

    def gradient(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Compute ∇f [b, d] layer by layer."""
        out = theta * self.l2
        self._add_gradients(
            theta, x, y, weight, lambda node: self.layout.views(out if node is None else out[node]), 1.0
        )
        return out

    def descend(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor, step_size: float) -> None:
        """Take the step θ ← θ − η∇f(θ) in place, layer by layer, without a buffer for the gradient."""

        def shrunk(node: int | None) -> dict[str, Tensor]:
            rows = theta if node is None else theta[node]
            if self.l2:
                rows.mul_(1 - step_size * self.l2)
            return self.layout.views(rows)

        self._add_gradients(theta, x, y, weight, shrunk, -step_size)

    def sample_gradients(self, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Compute the gradient [n, d] of every sample's loss by vmap over the samples, also of convolutions."""
        module = self._own_copy(theta)

        def objective(values: dict[str, Tensor], sample: Tensor, target: Tensor) -> Tensor:
            scores = functional_call(module, values, (self._shaped(sample[None]),))
            return self._loss.losses(scores, target[None]).sum()

        found = vmap(grad(objective), in_dims=(None, 0, 0))(self.layout.views(theta.detach().clone()), x, y)
        return torch.cat([found[name].flatten(1) for name in self.layout.shapes], dim=1)

    def _add_gradients(
        self,
        theta: Tensor,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        target: Callable[[int | None], dict[str, Tensor]],
        scale: float,
    ) -> None:
        """Add the gradients of the data losses times a scale to the views of a target, of one node or of all (None)."""
        if not self.one_by_one(theta.device):
            together = self._gradients_together(theta, x, y, weight)
            torch._foreach_add_(
                list(target(None).values()), [together[name] for name in self.layout.shapes], alpha=scale
            )
            return
        for node in range(len(theta)):
            alone = self._gradients_alone(theta[node], x[node], y[node], weight[node])
            torch._foreach_add_(list(target(node).values()), list(alone), alpha=scale)

    def _gradients_together(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Compute the gradients of all nodes by vmap over a dict of views."""
        module = self._own_copy(theta)

        def objective(values: dict[str, Tensor], samples: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
            scores = functional_call(module, values, (self._shaped(samples),)).to(samples.dtype)
            return (weights * self._loss.losses(scores, targets)).sum()

        found: dict[str, Tensor] = vmap(grad(objective))(self.layout.views(theta.detach()), x, y, weight)
        return found

    def _gradients_alone(self, theta: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        """Compute the gradients of one node, in a module of this thread whose parameters lie in a copy of its row.

        Convolutions round by where in memory the parameters begin, which for a row depends on the nodes before it.
        """
        module, views = self._own_copy(theta), self.layout.views(theta.detach().clone())
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for parameter, view in zip(parameters, views.values(), strict=True):
            parameter.data = _channels_last(view)
        samples = _channels_last(self._shaped(x))
        with torch.enable_grad():
            objective = (weight * self._loss.losses(module(samples).to(x.dtype), y)).sum()
            return torch.autograd.grad(objective, parameters)

    def _shaped(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], *self.shape)

    def _own_copy(self, theta: Tensor) -> nn.Module:
        """Return a copy of the module for this thread: threads that shared one would overwrite its parameters."""
        key = get_ident(), theta.device, theta.dtype
        if key not in self._copies:
            self._copies[key] = deepcopy(self._module).to(theta.device, theta.dtype)
        return self._copies[key]


def _channels_last(values: Tensor) -> Tensor:
    """Return images or kernels with their channels last in memory, which convolutions on a CPU are fastest with."""
    if values.ndim != 4:
        return values
    _, channels, height, width = values.shape
    strides = (channels * height * width, 1, width * channels, channels)
    # With a single channel both orders are the same memory, and torch takes the other unless the strides say it.
    return values.contiguous(memory_format=torch.channels_last).as_strided(values.shape, strides)
