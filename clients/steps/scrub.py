"""SCRUB's epochs: away from the teacher on the forget set, near it on the retained data."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.epochs import EpochRounds, Samples, forgotten, logits, mean_gradient, samples_of
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.optimizers import SGD


@dataclass(frozen=True)
class ScrubEpochs(EpochRounds):
    """Epochs in which clients go up KL(teacher ‖ student) on what they forget, then down γ·loss + α·KL on the rest.

    Attributes:
        rounds: the addresses of the rounds, one for each epoch.
        seed: the seed of the order of the samples.
        batch: retained samples in a step.
        forget_batch: forgotten samples in a step.
        max_steps: the epochs that begin with a pass through the forget set.
        step_size: of the steps.
        momentum: of the steps; it begins anew with every epoch.
        weight_decay: added to every gradient, times θ.
        temperature: by which scores are divided.
        gamma: γ.
        alpha: α.
        teacher: the name of the learned models.
    """

    rounds: range
    seed: int
    batch: int
    forget_batch: int
    max_steps: int
    step_size: float
    momentum: float
    weight_decay: float
    temperature: float
    gamma: float
    alpha: float
    teacher: str

    needs_forget_set = True

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the name of the teachers."""
        return (self.teacher,)

    def epoch(self, block: ClientBlock, node: int, theta: Tensor, round: int) -> tuple[Tensor, int]:
        """Return the student after an epoch, and the number of samples that it has read."""
        assert block.before_erasure is not None
        row = block.nodes.index(node)
        teacher = block.recalled_checkpoints[0][row : row + 1]
        theta, optimizer, taken = theta.clone(), SGD(momentum=self.momentum), 0
        velocity = theta.new_zeros(1, optimizer.state_size(theta.shape[1]))

        def step(gradient: Tensor) -> None:
            optimizer.step(theta, gradient.add_(theta, alpha=self.weight_decay), velocity, self.step_size)

        if round - self.rounds.start < self.max_steps:
            gone = forgotten(block.before_erasure, block, node)
            for some in gone.batches(self.forget_batch, self.generator(round, node, "forget")):
                step(-self._divergence_gradient(block.model, theta, teacher, some))
            taken += len(gone.y)
        kept = samples_of(block, node)
        for some in kept.batches(self.batch, self.generator(round, node, "retain")):
            loss = mean_gradient(block.model, theta, some)
            near = self._divergence_gradient(block.model, theta, teacher, some)
            step(loss.mul_(self.gamma).add_(near, alpha=self.alpha))
        return theta, taken + len(kept.y)

    def _divergence_gradient(self, model: Model, theta: Tensor, teacher: Tensor, samples: Samples) -> Tensor:
        """Compute the gradient [1, d] at θ of T²·KL(teacher ‖ student), the mean over samples, at temperature T."""
        T = self.temperature
        wanted = torch.log_softmax(logits(model, teacher, samples.x) / T, dim=2)
        with torch.enable_grad():
            point = theta.detach().clone().requires_grad_(True)
            found = torch.log_softmax(logits(model, point, samples.x) / T, dim=2)
            divergence = (wanted.exp() * (wanted - found)).sum() * (T**2 / len(samples.y))
            (gradient,) = torch.autograd.grad(divergence, point)
        return gradient
