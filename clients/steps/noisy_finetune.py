"""Finetuning of every node alone, with noise after every step.

`rewindnet.certificates.mechanisms.noisy_finetune` says what such noise hides.
"""

from dataclasses import dataclass

from scipy.sparse import csr_array, eye_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import LocalStep
from rewindnet.clients.steps.noisy import NoisyRounds
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class ClipModel(LocalStep):
    """Every client projects its model onto a ball around 0.

    Attributes:
        radius: of the ball.
    """

    radius: float

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Return the nearest points of the ball."""
        return clipped(theta.clone(), self.radius)


@dataclass(frozen=True)
class NoisyFinetuneRounds(NoisyRounds):
    """Steps that every node takes alone, with clipped gradients or clipped models, and noise after each.

        gradient_radius C1    x ← (1 − ηλ)x − η·clip(∇ℓ(x), C1) + N(0, σ²I)
        model_radius C2       x ← clip((1 − ηλ)x − η·∇ℓ(x), C2) + N(0, σ²I)

    with ∇ℓ the gradient of the data loss over all samples that the node retains, whichever nodes participate and
    whatever minibatches the network learned with: no node waits for another.

    Attributes:
        rounds: the addresses of the steps.
        step_size: η.
        decay: λ.
        gradient_radius: C1, or None.
        model_radius: C2, or None.
        sigma: [N], σ of the noise of every node.
        address: where the noise is drawn.
    """

    rounds: range
    step_size: float
    decay: float
    gradient_radius: float | None
    model_radius: float | None
    sigma: tuple[float, ...]
    address: NoiseAddress

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the identity: no message is sent."""
        return csr_array(eye_array(mixing.nodes))

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the models [b, d] after one step."""
        gradient = block.gradient(theta).sub_(theta, alpha=block.model.l2)
        if self.gradient_radius is not None:
            gradient = clipped(gradient, self.gradient_radius)
        stepped = theta * (1 - self.step_size * self.decay)
        stepped.sub_(gradient, alpha=self.step_size)
        if self.model_radius is not None:
            stepped = clipped(stepped, self.model_radius)
        return self.noised(block, stepped, self.sigma, round)
