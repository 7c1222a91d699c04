"""Langevin unlearning on a network: noisy rounds on retained data from the learned models.

Chien, Wang, Chen and Li (2024), "Langevin unlearning: a new perspective of noisy gradient descent for machine
unlearning", on one machine; here on the vector of all nodes' models (`rewindnet.certificates.mechanisms.langevin`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

from rewindnet.certificates import Langevin as LangevinMechanism
from rewindnet.certificates import Regime, Release, TrainingRun, View
from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.mechanisms.langevin import claimed_epsilon, contractions
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.noisy_rounds import NoisyRoundsMethod
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

_FORMULA = "Rényi divergence of Langevin unlearning, converted with its order in place, with W_∞ ≤ b/(1 − c)"


@dataclass(frozen=True, kw_only=True)
class Langevin(NoisyRoundsMethod):
    """Descend on retained data from the learned model with noise before every round: Langevin unlearning.

    Give `epsilon` (1 by default) or `sigma`; the other follows. A ball onto which clients project is that of learning.

    Args:
        rounds: K, the noisy rounds; half the learning rounds by default.
        epsilon: the ε to reach.
        sigma: the noise before every round, its standard deviation, the same at every node.
        delta: δ.
        bound: `worst-case` from the constants, `instance` from measured disturbances.
        regime: the curvature to assume; by default the strongest that the model proves.
        view: who sees what. Messages are covered by the noise on the start alone (transcript views).
        noise_source: `seed` for studies, `os` for a release.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "langevin"
    rounds: int | None = None
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    bound: Literal["worst-case", "instance"] = "worst-case"
    regime: Regime | None = None
    view: str = "joint"
    noise_source: NoiseSource = "seed"

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check_settings()
        if self.bound not in ("worst-case", "instance"):
            raise MethodError(f"langevin has the bounds worst-case and instance, not {self.bound}")

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return K noisy rounds, with noise for ε or as given."""
        learning.check_view(View.of(self.view))
        claim, release = self._claim, self._release(learning, self._mechanism(learning))
        if self.sigma is None:
            release = replace(release, sigma=release.sigma * self._least_scale(learning, release))
        claimed = claimed_epsilon(learning, release, claim)
        if not isfinite(claimed):
            return UnlearningPlan(release, claim)
        return UnlearningPlan(release, replace(claim, claimed_epsilon=claimed, claimed_by=_FORMULA))

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return noise on the start, then rounds with noise between them."""
        from rewindnet.clients.steps.langevin import LangevinRounds
        from rewindnet.clients.steps.learning import AddNoise

        sigma = tuple(release.sigma.tolist())
        rounds = range(release.checkpoint_round, release.checkpoint_round + release.descent_rounds)
        first = AddNoise(sigma, address)
        return Program(noise=(first,), finish=(LangevinRounds(learning.order, rounds, sigma, address),))

    def _mechanism(self, learning: TrainingRun) -> LangevinMechanism:
        return LangevinMechanism(contractions(learning, self.regime, self._noisy_rounds(learning.rounds)))
