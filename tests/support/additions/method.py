"""A method with steps and a noise mechanism of its own: noise in two parts on the learned model, then half steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Claim, Mechanism, Release, TrainingRun, View, mu_of
from rewindnet.certificates.additions import BETWEEN_ROUNDS, Additions
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.network import Mixing
from rewindnet.certificates.sensitivity.bounds import propagate
from rewindnet.certificates.views.mu import mu_of_view
from rewindnet.clients.methods import Method, UnlearningPlan
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

if TYPE_CHECKING:
    from torch import Tensor

    from rewindnet.clients.training.client_block import ClientBlock
    from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class AddNoiseInParts(LocalStep):
    """Every client adds independent noise vectors of equal size.

    Attributes:
        sigma: of the sum of the parts, for each node.
        parts: how many.
        address: where the noise is drawn.
    """

    sigma: tuple[float, ...]
    parts: int
    address: NoiseAddress

    def apply(self, block: "ClientBlock", theta: "Tensor") -> "Tensor":
        from rewindnet.clients.training.noise import noised

        sigma, size = [value / sqrt(self.parts) for value in self.sigma], theta.shape[1]
        for part in range(self.parts):
            drawn = partial(self._drawn, size, part)
            theta = noised(block, theta, sigma, drawn)
        return theta

    def _drawn(self, size: int, part: int, node: int) -> NDArray[np.float64]:
        from rewindnet.clients.training.noise import draw_in_round

        return draw_in_round(size, self.address, part, node)


@dataclass(frozen=True)
class ShortSteps(CommunicationStep):
    """Rounds of gossip, in which clients first descend by half of the step size."""

    rounds: range

    def message(self, block: "ClientBlock", theta: "Tensor", round: int, probe: "Probe | None") -> "Tensor":
        return theta - block.step_size / 2 * block.gradient(theta)


@dataclass(frozen=True)
class NoiseInParts(Mechanism):
    """Independent Gaussian vectors on the learned model: the sum of `parts` vectors of variance σ²/parts is N(0, σ²·I).

    Attributes:
        parts: how many vectors.
    """

    parts: int

    kind: ClassVar[str] = "noise-in-parts"
    noise_label: ClassVar[str] = "in parts"

    def additions(self, training: TrainingRun, release: Release) -> Additions:
        return Additions.of(np.full(self.parts, BETWEEN_ROUNDS), release.sigma / sqrt(self.parts))

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        start = propagate(training, disturbed=release.checkpoint_round, undisturbed=0, bound=claim.bound)
        return DivergenceBounds(start.total, start.rounding)

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        return mu_of_view(view, bounds.nodes, release, mixing)

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        return None if str(claim.view) == "joint" else "only the view joint is looked at"

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        return ("What follows the noise is post-processing.",)

    def describe(self, release: Release, rounds: int) -> str:
        return f"added noise in {self.parts} parts and took {release.descent_rounds} half steps"


@dataclass(frozen=True, kw_only=True)
class SlowStart(Method):
    """Add noise in parts, then descend by half steps: a method of a test."""

    parts: int = 2
    rounds: int = 3
    epsilon: float = 1.0
    delta: float = 1e-5

    @property
    def variant(self) -> str:
        return f"{self.parts} parts"

    def checkpoints(self, rounds: int) -> Sequence[int]:
        return (rounds,)

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        return rounds, self.rounds

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        none, nodes = np.zeros(learning.mixing.nodes), learning.mixing.nodes
        mechanism = NoiseInParts(self.parts)
        release = Release("slow-start", learning.rounds, self.rounds, "rewind", none, mechanism=mechanism)
        claim = Claim(View.of("joint"), self.delta)
        sensitivity = mechanism.bounds(learning, release, claim).nodes
        sigma = float(np.linalg.norm(sensitivity)) / mu_of(self.epsilon, self.delta) * (1 + 1e-9)
        return UnlearningPlan(replace(release, sigma=np.full(nodes, sigma)), claim)

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        noise = AddNoiseInParts(tuple(release.sigma.tolist()), self.parts, address)
        return Program(noise=(noise,), finish=(ShortSteps(range(learning.rounds, learning.rounds + self.rounds)),))
