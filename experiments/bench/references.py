"""Computations outside the simulator that do the same work: what its speed is compared with.

A reference computes the rounds of adapt-then-combine learning, θ ← W·(local steps from θ), on the data of a scenario,
from the same initial model and on the same minibatches, drawn before the clock starts. Its models are those of
the simulator up to rounding, which a test checks; only floors compute less. The references here are of linear models,
those of `deep_references` of deep ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.clients.steps.learning import InitialModel
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.minibatch import Minibatch
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.experiments.scenario.devices import device_of

#: Entries of x that are computed at once on a CPU by the references that take several clients at once.
_CACHED = 1 << 18


class Reference(ABC):
    """The rounds of a scenario, computed in another way.

    Args:
        setup: the run, on clients that hold equally many samples.
        rounds: how many rounds will be computed.

    Attributes:
        model: the model of every client.
        theta: [N, d], the parameters.
        x: [N, n, q], the designs.
        y: [N, n], the targets.
    """

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        self.device = device_of(setup.scenario.backend.device)
        block = setup.worker(range(setup.network.mixing.nodes), self.device).full
        self.model = block.model
        self._l2, self._step_size, self._steps = block.model.l2, block.step_size, block.local_steps
        self.x, self.y = _by_client(block)
        self.theta = InitialModel(setup.scenario.seed).apply(block, block.blank())
        self._mixing = setup.network.mixing
        self._matrix: dict[int, Tensor] = {}
        self._drawn = [_drawn(block, block.minibatches(t)) for t in range(rounds)]
        self._sizes = [
            self.x.shape[1] if block.local_training.sampling is None else block.local_training.sampling.size(int(n))
            for n in block.samples_held
        ]

    @abstractmethod
    def local_steps(self, round: int) -> None:
        """Take the local steps of every client, from `theta` into `theta`."""

    def round(self, round: int) -> None:
        """Compute a round."""
        self.local_steps(round)
        self.theta = self._weights(round) @ self.theta

    def by_class(self) -> Tensor:
        """Return the parameters of a linear model with a score for each class, as [N, C, q]."""
        assert isinstance(self.model, Multinomial)
        return self.theta.view(len(self.theta), self.model.outputs, -1)

    def _weights(self, round: int) -> Tensor:
        """W of a round, made once: sparse on a CPU."""
        W = self._mixing.matrix(round)
        if id(W) not in self._matrix:
            dense = torch.from_numpy(W.toarray()).to(self.theta)
            self._matrix = {id(W): dense if dense.is_cuda or len(dense) < 200 else dense.to_sparse_csr()}
        return self._matrix[id(W)]


class Loop(Reference):
    """One client after another, with automatic differentiation: what one writes first."""

    def local_steps(self, round: int) -> None:
        """Descend client by client."""
        models = self.by_class()
        for client, (x, y, size) in enumerate(zip(self.x, self.y, self._sizes, strict=True)):
            w = models[client].clone().requires_grad_(True)
            for chosen in self._drawn[round][client]:
                batch, labels = (x, y) if chosen is None else (x[chosen], y[chosen])
                loss = functional.cross_entropy(batch @ w.T, labels, reduction="sum") / size
                (slope,) = torch.autograd.grad(loss + self._l2 / 2 * w.square().sum(), w)
                with torch.no_grad():
                    w -= self._step_size * slope
            models[client] = w.detach()


class Together(Reference):
    """Several clients at a time by batched products, all local steps of theirs in place: written by hand for this."""

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        clients, samples, inputs = self.x.shape
        together = max(1, _CACHED // (samples * inputs)) if self.device.type == "cpu" else clients
        self._chunks = [slice(at, at + together) for at in range(0, clients, together)]
        self._scale = torch.tensor(self._sizes).to(self.theta).reciprocal()[:, None, None]
        self._padded = [padded(drawn, self.x) for drawn in self._drawn]

    def local_steps(self, round: int) -> None:
        """Descend chunk by chunk."""
        models = self.by_class()
        for chunk in self._chunks:
            for step in self._padded[round]:
                x, y, held = gathered(self.x, self.y, chunk, step)
                scale = self._scale[chunk]
                self._step(models[chunk], x, y, scale if held is None else scale * held[:, :, None])

    def _step(self, own: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> None:
        residual, right = torch.softmax(torch.bmm(own, x.transpose(1, 2)), dim=1), y.unsqueeze(1)
        residual.scatter_add_(1, right, residual.new_full((), -1.0).expand(right.shape))
        residual.mul_(weight.transpose(1, 2))
        own.mul_(1 - self._step_size * self._l2).baddbmm_(residual, x, alpha=-self._step_size)


class Products(Together):
    """The two matrix products of a step alone: less than any implementation can take with these products."""

    def _step(self, own: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> None:
        torch.bmm(torch.bmm(own, x.transpose(1, 2)), x)


def _by_client(block: ClientBlock) -> tuple[Tensor, Tensor]:
    """Return designs [N, n, q] and labels [N, n]; all clients hold n samples."""
    held = int(block.samples[0])
    assert (block.samples == held).all()
    x = torch.empty(len(block.nodes), held, block.buckets[0].x.shape[2]).to(block.buckets[0].x)
    y = torch.empty(len(block.nodes), held, dtype=torch.int64, device=x.device)
    for bucket in block.buckets:
        x[bucket.rows], y[bucket.rows] = bucket.x[:, :held], bucket.y[:, :held]
    return x, y


def _drawn(block: ClientBlock, steps: Sequence[Minibatch]) -> list[list[Tensor | None]]:
    """Return for each client and local step the places of its batch among its samples; None: all of them."""
    result: list[list[Tensor | None]] = [[] for _ in block.nodes]
    for step in steps:
        for at, bucket in enumerate(block.drawing):
            places = None if step.places is None else step.places[at]
            for k, row in enumerate(bucket.row_numbers):
                if step.weights is None:
                    result[row].append(None)
                    continue
                (used,) = torch.nonzero(step.weights[at][k], as_tuple=True)
                result[row].append(used if places is None else places[k][used] - k * bucket.x.shape[1])
    return result


def padded(drawn: Sequence[Sequence[Tensor | None]], x: Tensor) -> list[tuple[Tensor, Tensor] | None]:
    """Return for each step the flat places [N, B] of all clients' batches, and which of them hold a sample, 1 or 0."""
    padded: list[tuple[Tensor, Tensor] | None] = []
    for of_step in zip(*drawn, strict=True):
        batches = [batch for batch in of_step if batch is not None]
        if len(batches) < len(of_step):
            padded.append(None)
            continue
        most = max(len(batch) for batch in batches)
        places = torch.zeros(len(batches), most, dtype=torch.int64, device=x.device)
        held = torch.zeros(len(batches), most, dtype=x.dtype, device=x.device)
        for client, batch in enumerate(batches):
            places[client] = client * x.shape[1]
            places[client, : len(batch)] += batch
            held[client, : len(batch)] = 1
        padded.append((places, held))
    return padded


def gathered(
    x: Tensor, y: Tensor, chunk: slice, step: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return designs [k, B, q], targets [k, B] and which places hold a sample [k, B] of a step of some clients.

    Args:
        x: [N, n, q].
        y: [N, n].
        chunk: which clients.
        step: as `padded` returns it; None: all samples, each place of which holds one.
    """
    if step is None:
        return x[chunk], y[chunk], None
    places, held = step[0][chunk], step[1][chunk]
    flat = places.flatten()
    own = x.flatten(0, 1).index_select(0, flat).view(*places.shape, -1)
    return own, y.flatten().index_select(0, flat).view(places.shape), held
