"""Small networks, and how they are trained on public rows: the same weights for the same rows and seed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from rewindnet.clients.data.dataset import Layout, PublicRows
from rewindnet.topologies.rng import Stream, rng_at

_BATCH = 64
_STEP_SIZE = 1e-3
#: The least standard deviation that inputs are divided by.
_LEAST = 1e-3


class Standardise(nn.Module):
    """Inputs minus a mean and divided by a standard deviation, both of public rows.

    Args:
        x: the public rows [n, *shape].
        layout: of signals and images every channel has one mean, of vectors every entry.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, x: Tensor, layout: Layout) -> None:
        super().__init__()
        over = (0,) if layout == "vector" else (0, *range(2, x.ndim))
        self.register_buffer("mean", x.mean(dim=over, keepdim=True)[0])
        self.register_buffer("deviation", x.std(dim=over, keepdim=True, correction=0)[0].clamp(min=_LEAST))

    def forward(self, x: Tensor) -> Tensor:
        """Return the standardised rows."""
        return (x - self.mean) / self.deviation


def small_network(x: Tensor, layout: Layout, width: int, seed: int) -> nn.Module:
    """Return an untrained network from rows to outputs that are not negative.

    Three convolutions with ReLU, pooled to 2 places along every side, of images and signals: width·4 and width·2
    outputs; two layers with ReLU of vectors: `width` outputs.

    Args:
        x: the public rows [n, channels, *sides], or [n, p], by which inputs are standardised.
        layout: of the rows.
        width: the number of channels or outputs of the last layer.
        seed: the seed of the initial weights.
    """
    with _seeded(seed):
        if layout == "vector":
            p = x.shape[1]
            layers: list[nn.Module] = [nn.Linear(p, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.ReLU()]
            return nn.Sequential(Standardise(x, layout), *layers)
        image = layout == "image"
        convolution, pool = (nn.Conv2d, nn.MaxPool2d) if image else (nn.Conv1d, nn.MaxPool1d)
        layers, inputs = [], x.shape[1]
        for outputs in (max(1, width // 2), width, width):
            if layers:
                layers.append(pool(2, ceil_mode=True))
            layers += [convolution(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        places = nn.AdaptiveAvgPool2d(2) if image else nn.AdaptiveAvgPool1d(2)
        return nn.Sequential(Standardise(x, layout), *layers, places, nn.Flatten())


def train(module: nn.Module, public: PublicRows, x: Tensor, epochs: int, seed: int) -> None:
    """Train a network in place, with a linear layer behind it that is then dropped, to tell the public classes apart.

    Adam with step size 10⁻³ on shuffled minibatches of 64 rows, on one thread of the CPU.

    Args:
        module: the network, from x to outputs [n, p].
        public: the public rows.
        x: the same rows, as the network takes them.
        epochs: how often each row is read.
        seed: the seed of the last layer and of the order of the rows.
    """
    y = torch.from_numpy(public.y)
    with _seeded(seed), torch.enable_grad():
        module.eval()
        with torch.no_grad():
            outputs = module(x[:1]).flatten(1).shape[1]
        head = nn.Linear(outputs, public.classes)
        module.train()
        adam = _Adam([*module.parameters(), *head.parameters()])
        for epoch in range(epochs):
            order = rng_at(seed, Stream.FEATURES, round=epoch + 1).permutation(len(x))
            for rows in map(torch.from_numpy, np.split(order, range(_BATCH, len(x), _BATCH))):
                loss = nn.functional.cross_entropy(head(module(x[rows]).flatten(1)), y[rows])
                adam.step(loss)
    module.eval()


class _Adam:
    """Adam with the constants of Kingma and Ba (2015); the first use of torch.optim takes two seconds to import."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._mean = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._square = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, loss: Tensor) -> None:
        """Take a step down the gradient of a loss."""
        self._steps += 1
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        for at, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            if gradient is not None:
                mean = self._mean[at].lerp_(gradient, 0.1) / (1 - 0.9**self._steps)
                square = self._square[at].lerp_(gradient**2, 0.001) / (1 - 0.999**self._steps)
                parameter.sub_(_STEP_SIZE * mean / (square.sqrt() + 1e-8))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Have torch draw by a seed, on one thread; what it was before is put back."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng_at(seed, Stream.FEATURES).integers(2**62)))
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
