"""Steps that add noise time and again: rounds of the network with noise in between, and finetuning of every node alone.

`rewindnet.certificates.mechanisms` says what such noise hides (`langevin`, `finetuning`).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.steps.base import Work
from rewindnet.clients.training.client_block import ClientBlock, Probe
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.noise import noised


@dataclass(frozen=True)
class ClipModel:
    """Every client projects its model onto a ball around 0."""

    radius: float

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """The nearest point of the ball."""
        return clipped(theta.clone(), self.radius)


@dataclass(frozen=True)
class NoisyFinetuneRounds:
    """Steps that every node takes alone, with clipped gradients or clipped models, and noise after each.

        gradient_radius C1    x ← (1 − ηλ)x − η·clip(∇ℓ(x), C1) + N(0, σ²I)
        model_radius C2       x ← clip((1 − ηλ)x − η·∇ℓ(x), C2) + N(0, σ²I)

    with ∇ℓ the gradient of the data loss over all samples that the node retains, whoever is awake and whatever
    minibatches the network learned with: nobody waits for anybody.

    Attributes:
        rounds: the addresses of the steps.
        step_size: η.
        decay: λ.
        gradient_radius: C1, or None.
        model_radius: C2, or None.
        sigma: [N], the noise of every node.
        seed: of the simulation.
        release: which release of the run it is.
        source: where noise comes from.
    """

    rounds: range
    step_size: float
    decay: float
    gradient_radius: float | None
    model_radius: float | None
    sigma: tuple[float, ...]
    seed: int
    release: int
    source: NoiseSource

    needs_forget_set: ClassVar[bool] = False

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """The identity: nobody hears anybody."""
        return csr_array(eye_array(mixing.nodes))

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """One full gradient."""
        return samples, np.zeros_like(samples)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ, which nobody hears."""
        return theta

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """One step."""
        gradient = block.gradient(theta).sub_(theta, alpha=block.model.l2)
        if self.gradient_radius is not None:
            gradient = clipped(gradient, self.gradient_radius)
        stepped = theta * (1 - self.step_size * self.decay)
        stepped.sub_(gradient, alpha=self.step_size)
        if self.model_radius is not None:
            stepped = clipped(stepped, self.model_radius)
        return noised(block, stepped, self.sigma, self.seed, self.release, round, self.source)
