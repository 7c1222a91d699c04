"""ManiF-SMC's epochs: erased samples leave the neighbourhood that the learned model puts them in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.clients.steps.epochs import Samples, mean_gradient, samples_of
from rewindnet.clients.training.client_block import ClientBlock

Margin = Literal["smc", "smc-label-free", "fixed"]
#: Differences on the unit sphere, in units of roundoff, that count as 0.
_ZERO = 1e3


class Neighbourhoods(NamedTuple):
    """Erased samples, and the retained ones that lie closest to each.

    Attributes:
        erased: [m, q].
        retained: the samples of the client.
        nearest: [m, k], the places of the neighbours among these.
        centroid: [m, r], the mean of their representations by the learned model.
    """

    erased: Tensor
    retained: Samples
    nearest: Tensor
    centroid: Tensor


@dataclass(frozen=True)
class ManifoldEpochs(AlternatingEpochs):
    """Epochs of steps down max(0, d(c, z_p) − d(c, z_e) + α) + keep·d(c, z_p) at clients that forget.

    z are representations of length 1, d squared distances, c the centroid of the k retained samples that the learned
    model puts next to an erased one x_e, and x_p one of these. No label of an erased sample is read.

    Attributes:
        neighbours: k.
        keep: by how much neighbours are held where they are.
        margin: α of each x_e: `fixed`; or d(c, z_e) − d(c, z_p) by a model half way on a curve from the model of the
            moment to the learned one, whose control point is learned on the neighbours with their labels (`smc`), or so
            that the representations of these are as they were (`smc-label-free`).
        alpha: the fixed margin.
        control_steps: of the control point, in each epoch.
    """

    neighbours: int
    keep: float
    margin: Margin
    alpha: float
    control_steps: int

    def forget_gradient(self, model: Model, theta: Tensor, learned: Tensor, samples: Samples) -> Tensor:
        """Do nothing: steps depend on more than the erased samples."""
        raise NotImplementedError

    def _alternate(self, block: ClientBlock, row: int, theta: Tensor, carried: Tensor, round: int) -> int:
        """Have one client leave the neighbourhoods of what it has erased, in place."""
        node, model, learned = block.nodes[row], block.model, block.recalled_checkpoints[0][row : row + 1]
        erased, retained = self.forget_set(block, node), samples_of(block, node)
        if not len(erased.y) or not len(retained.y):
            return 0
        near, taken = self._neighbourhoods(model, learned, erased.x, retained), 0
        first = self._epochs_before(node, round)
        for address in range(round, round + self.epochs):
            if self.forget_epochs is not None and first + address - round >= self.forget_epochs:
                break
            between, read = self._halfway(model, theta, learned, near, self.order(address, node, "control"))
            taken += read
            generator = self.order(address, node, "forget")
            for places, positive in self._triplets(near, generator):
                gradient = self._triplet_gradient(model, theta, near, places, positive, between)
                self.step("forget", theta, gradient, carried)
                taken += 2 * len(places)
        return taken

    def _neighbourhoods(self, model: Model, learned: Tensor, erased: Tensor, retained: Samples) -> Neighbourhoods:
        """Find the neighbours of each erased sample by the cosine of their representations by the learned model."""
        gone, kept = unit(model, learned, erased), unit(model, learned, retained.x)
        k = min(self.neighbours, len(kept))
        # Of equals those that come first, whatever the library would choose.
        nearest = (gone @ kept.T).argsort(dim=1, descending=True, stable=True)[:, :k]
        return Neighbourhoods(erased, retained, nearest, kept[nearest].mean(dim=1))

    def _triplets(self, near: Neighbourhoods, generator: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of erased samples, as places [n], and for each one of its neighbours, as places [n]."""
        order = generator.permutation(len(near.erased))
        drawn = generator.integers(0, near.nearest.shape[1], len(order))
        for first in range(0, len(order), self.forget_batch):
            some = slice(first, first + self.forget_batch)
            places, which = (torch.from_numpy(of[some]).to(near.nearest.device) for of in (order, drawn))
            yield places, near.nearest[places, which]

    def _triplet_gradient(
        self,
        model: Model,
        theta: Tensor,
        near: Neighbourhoods,
        places: Tensor,
        positive: Tensor,
        between: Tensor | None,
    ) -> Tensor:
        """Compute the gradient [1, d] of the objective, the mean over a batch."""
        both, centre = torch.cat([near.erased[places], near.retained.x[positive]]), near.centroid[places]
        margin = self.margins(model, near, places, both, between)
        with torch.enable_grad():
            point = theta.detach().clone().requires_grad_(True)
            away, held = distances(model, point, both, centre)
            hinge = held - away + margin
            # At the learned model a margin that was learned from it is the very gap: 0, up to rounding, is closed.
            closed = hinge <= _ZERO * torch.finfo(hinge.dtype).eps
            (gradient,) = torch.autograd.grad((hinge.masked_fill(closed, 0) + self.keep * held).mean(), point)
        return gradient

    def margins(
        self, model: Model, near: Neighbourhoods, places: Tensor, both: Tensor, between: Tensor | None
    ) -> Tensor | float:
        """Return α, the fixed one, or d(c, z_e) − d(c, z_p) [n] by the model half way on the curve."""
        if between is None:
            return self.alpha
        there = unit(model, between, near.retained.x[near.nearest[places].flatten()])
        middle = there.view(len(places), -1, there.shape[1]).mean(dim=1)
        return torch.sub(*distances(model, between, both, middle))

    def _halfway(
        self, model: Model, theta: Tensor, learned: Tensor, near: Neighbourhoods, generator: np.random.Generator
    ) -> tuple[Tensor | None, int]:
        """Return the model [1, d] half way on the curve (1 − t)²·θ + 2t(1 − t)·w + t²·θ_o, and the gradients it took.

        The control point w is learned with both ends held, on neighbours alone, with t uniform in each step.
        """
        if self.margin == "fixed":
            return None, 0
        places = torch.from_numpy(np.unique(near.nearest.cpu().numpy())).to(near.nearest.device)
        samples, taken = Samples(near.retained.x[places], near.retained.y[places]), 0
        wanted = unit(model, learned, samples.x)
        control = (theta + learned) / 2
        state = control.new_zeros(1, self.pair.own_size("retain", control.shape[1]))
        for _ in range(self.control_steps):
            t, chosen = float(generator.random()), generator.permutation(len(places))[: self.batch]
            some = torch.from_numpy(chosen).to(places.device)
            point = (1 - t) ** 2 * theta + 2 * t * (1 - t) * control + t**2 * learned
            if self.margin == "smc":
                gradient = mean_gradient(model, point, Samples(samples.x[some], samples.y[some]))
            else:
                gradient = drift_gradient(model, point, samples.x[some], wanted[some])
            self.pair.of["retain"].step(control, gradient.mul_(2 * t * (1 - t)), state, self.step_size)
            taken += len(some)
        return (theta + 2 * control + learned) / 4, taken


def unit(model: Model, theta: Tensor, x: Tensor) -> Tensor:
    """Compute the representations [n, r] of samples [n, q] by one model [1, d], of length 1."""
    return torch.nn.functional.normalize(model.representation(theta, x)[0], dim=1, eps=1e-12)


def distances(model: Model, theta: Tensor, both: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the squared distances [n] of the first and of the second half of samples [2n, q] from centres [n, r]."""
    apart = (unit(model, theta, both) - centre.repeat(2, 1)).square().sum(dim=1)
    return apart[: len(centre)], apart[len(centre) :]


def drift_gradient(model: Model, theta: Tensor, x: Tensor, wanted: Tensor) -> Tensor:
    """Compute the gradient [1, d] of the mean squared distance of representations from what is wanted [n, r]."""
    with torch.enable_grad():
        point = theta.detach().clone().requires_grad_(True)
        # The optimizer would make whole steps of what is rounding alone, as it is at the learned model.
        drift = unit(model, point, x) - wanted
        drift = drift.masked_fill(drift.abs() <= _ZERO * torch.finfo(drift.dtype).eps, 0)
        (gradient,) = torch.autograd.grad(drift.square().sum(dim=1).mean(), point)
    return gradient
