"""Epochs of plain minibatch descent."""

from dataclasses import dataclass

from torch import Tensor

from rewindnet.clients.steps.epochs import EpochRounds, mean_gradient, samples_of
from rewindnet.clients.training.client_block import ClientBlock


@dataclass(frozen=True)
class FinetuneEpochs(EpochRounds):
    """Epochs of steps θ ← θ − η∇f_B(θ) on batches B of the data that a client holds.

    Attributes:
        rounds: the addresses of the rounds, one for each epoch.
        seed: the seed of the order of the samples.
        batch: samples in a step.
        step_size: η.
    """

    rounds: range
    seed: int
    batch: int
    step_size: float

    def epoch(self, block: ClientBlock, node: int, theta: Tensor, round: int) -> tuple[Tensor, int]:
        """Return the model after an epoch, and the number of samples."""
        samples, theta = samples_of(block, node), theta.clone()
        for some in samples.batches(self.batch, self.generator(round, node)):
            theta.sub_(mean_gradient(block.model, theta, some), alpha=self.step_size)
        return theta, len(samples.y)
