"""Computations outside the simulator that do the work of deep contests: module loops, code batched by hand, floors."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewindnet.clients.models.deep.base import DeepModel
from rewindnet.experiments.bench.modules import lenet, mlp, resnet18
from rewindnet.experiments.bench.references import Reference, gathered, padded
from rewindnet.experiments.runs.run_setup import RunSetup

#: The module that is each model of ours.
_MODULES = {"mlp": mlp, "module": mlp, "cnn": lenet, "resnet18": resnet18}
#: Clients that are computed together on a CPU.
_TOGETHER = 4


class DeepReference(Reference):
    """Rounds of a deep model of a contest.

    Args:
        setup: the run.
        rounds: how many rounds will be computed.
    """

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        assert isinstance(self.model, DeepModel)
        assert not self._l2
        self._deep = self.model
        self.shape = self._deep.shape

    def module(self) -> nn.Module:
        """Make the module that is the model."""
        return _MODULES[self._deep.kind](self.shape, self._deep.outputs).to(self.theta)

    def chunks(self) -> list[slice]:
        """Return the clients that are computed together."""
        together = _TOGETHER if self.device.type == "cpu" else len(self.theta)
        return [slice(at, at + together) for at in range(0, len(self.theta), together)]


class ModuleLoop(DeepReference):
    """One client after another: a module each, and torch's SGD."""

    autocast: ClassVar[torch.dtype | None] = None

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        self._modules = [self.module() for _ in self.theta]
        self._optimizers = [torch.optim.SGD(module.parameters(), lr=self._step_size) for module in self._modules]

    def local_steps(self, round: int) -> None:
        """Descend client by client."""
        dtype = self.autocast
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            for client in range(len(self.theta)):
                self._descend(client, round)

    def _descend(self, client: int, round: int) -> None:
        module, optimizer, size = self._modules[client], self._optimizers[client], self._sizes[client]
        nn.utils.vector_to_parameters(self.theta[client], module.parameters())
        for chosen in self._drawn[round][client]:
            x, y = self.x[client], self.y[client]
            if chosen is not None:
                x, y = x[chosen], y[chosen]
            optimizer.zero_grad()
            loss = functional.cross_entropy(module(x.view(-1, *self.shape)), y, reduction="sum") / size
            torch.autograd.backward(loss)
            optimizer.step()
        self.theta[client] = nn.utils.parameters_to_vector(module.parameters()).detach()


class HalfLoop(ModuleLoop):
    """The loop with products in bfloat16, parameters as they are."""

    autocast = torch.bfloat16


class MLPTogether(DeepReference):
    """A network with one hidden layer, several clients at a time by batched products, its gradient written out."""

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        self._scale = torch.tensor(self._sizes).to(self.theta).reciprocal()[:, None, None]
        self._padded = [padded(drawn, self.x) for drawn in self._drawn]

    def local_steps(self, round: int) -> None:
        """Descend chunk by chunk."""
        for chunk in self.chunks():
            values = list(self._deep.layout.views(self.theta[chunk]).values())
            for step in self._padded[round]:
                x, y, held = gathered(self.x, self.y, chunk, step)
                scale = self._scale[chunk]
                self._step(values, x, y, scale if held is None else scale * held[:, :, None])

    def _step(self, values: list[Tensor], x: Tensor, y: Tensor, weight: Tensor) -> None:
        first, first_bias, second, second_bias = values
        hidden = torch.baddbmm(first_bias.unsqueeze(1), x, first.transpose(1, 2)).relu_()
        residual = torch.softmax(torch.baddbmm(second_bias.unsqueeze(1), hidden, second.transpose(1, 2)), dim=2)
        residual.scatter_add_(2, y.unsqueeze(2), residual.new_full((), -1.0).expand(*y.shape, 1)).mul_(weight)
        below = torch.bmm(residual, second).mul_(hidden > 0)
        second.baddbmm_(residual.transpose(1, 2), hidden, alpha=-self._step_size)
        second_bias.sub_(residual.sum(dim=1), alpha=self._step_size)
        first.baddbmm_(below.transpose(1, 2), x, alpha=-self._step_size)
        first_bias.sub_(below.sum(dim=1), alpha=self._step_size)


class LeNetTogether(MLPTogether):
    """A network of the size of LeNet, several clients at a time by grouped convolutions."""

    def _step(self, values: list[Tensor], x: Tensor, y: Tensor, weight: Tensor) -> None:
        leaves = [value.detach().requires_grad_(True) for value in values]
        clients, samples = y.shape
        images = x.view(clients, samples, *self.shape).transpose(0, 1).reshape(samples, -1, *self.shape[1:])
        for kernel, bias in (leaves[:2], leaves[2:4]):
            images = functional.conv2d(images, kernel.flatten(0, 1), bias.flatten(), padding=2, groups=clients)
            images = functional.max_pool2d(images.relu(), 2)
        units = images.view(samples, clients, -1).transpose(0, 1)
        for at in (4, 6, 8):
            units = torch.baddbmm(leaves[at + 1].unsqueeze(1), units, leaves[at].transpose(1, 2))
            units = units.relu() if at < 8 else units
        losses = functional.cross_entropy(units.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)
        slopes = torch.autograd.grad((losses * weight.squeeze(2)).sum(), leaves)
        torch._foreach_add_(values, list(slopes), alpha=-self._step_size)


class OneModel(DeepReference):
    """One model on the batches of all clients together: less than any implementation can take on this machine."""

    autocast: ClassVar[torch.dtype | None] = None
    #: Samples that are computed together.
    _AT_ONCE = 1 << 13

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        self._shared = self.module()

    def local_steps(self, round: int) -> None:
        """Differentiate the losses of all samples that are read, for every step."""
        parameters, dtype = list(self._shared.parameters()), self.autocast
        read = self.x.shape[1] if self._drawn[round][0][0] is None else int(self._sizes[0])
        x, y = self.x[:, :read].flatten(0, 1), self.y[:, :read].flatten()
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            for _ in range(self._steps):
                for own, labels in zip(torch.split(x, self._AT_ONCE), torch.split(y, self._AT_ONCE), strict=True):
                    scores = self._shared(own.view(-1, *self.shape))
                    torch.autograd.grad(functional.cross_entropy(scores, labels), parameters)


class HalfModel(OneModel):
    """The same with products in bfloat16."""

    autocast = torch.bfloat16
