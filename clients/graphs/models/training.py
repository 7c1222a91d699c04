"""How a model of nodes is learned, and the random draws of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.topologies.rng import Stream, rng_at


@dataclass(frozen=True)
class GraphTraining:
    """Learning with full batches by Adam.

    Attributes:
        seed: of all draws.
        epochs: the number of steps.
        step_size: of Adam.
        weight_decay: λ of the penalty λ/2·‖θ‖² on the mean loss.
        draw: the number of the draws; with another number, initial model and dropout are others.
    """

    seed: int
    epochs: int
    step_size: float
    weight_decay: float
    draw: int = 0

    def initial(self, layer: int, shape: tuple[int, int]) -> Tensor:
        """Draw initial weights of a layer by Glorot's rule.

        Args:
            layer: its number.
            shape: of the weights, inputs by outputs.
        """
        rng = rng_at(self.seed, Stream.INITIAL_MODEL, layer, self.draw, "graph model")
        most = (6.0 / sum(shape)) ** 0.5
        return torch.from_numpy(rng.uniform(-most, most, shape))

    def dropout(self, epoch: int, shape: tuple[int, ...], share: float) -> Tensor:
        """Draw the factors of dropout in an epoch: 0 with probability `share`, else 1/(1 − share)."""
        rng = rng_at(self.seed, Stream.AUGMENTATION, epoch, self.draw, "dropout")
        return torch.from_numpy((rng.random(shape) >= share) / (1.0 - share))
