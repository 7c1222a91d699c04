"""Langevin unlearning on a network: noisy rounds on retained data from the learned models.

Chien, Wang, Chen and Li (2024), "Langevin unlearning: a new perspective of noisy gradient descent for machine
unlearning", on one machine; here on the vector of all nodes' models (`rewindnet.certificates.mechanisms.langevin`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

import numpy as np

from rewindnet.certificates import Claim, Regime, Release, TrainingRun, View, check_delta, least_scale
from rewindnet.certificates import Langevin as LangevinMechanism
from rewindnet.certificates.mechanisms.langevin import claimed_epsilon, contractions
from rewindnet.clients.methods.base import Method, MethodError, Plan, check_rounds, noise_asked
from rewindnet.clients.steps.langevin import LangevinRounds
from rewindnet.clients.steps.learning import AddNoise
from rewindnet.clients.steps.program import Program


@dataclass(frozen=True, kw_only=True)
class Langevin(Method):
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

    rounds: int | None = None
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    bound: Literal["worst-case", "instance"] = "worst-case"
    regime: Regime | None = None
    view: str = "joint"
    noise_source: Literal["seed", "os"] = "seed"

    def __post_init__(self) -> None:
        """Refuse settings without a meaning."""
        check_rounds(self.rounds)
        noise_asked("langevin", self.epsilon, self.sigma)
        check_delta(self.delta)
        View.of(self.view)
        if self.bound not in ("worst-case", "instance"):
            raise MethodError(f"langevin has the bounds worst-case and instance, not {self.bound}")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """The learned model."""
        return (rounds,)

    def check(self, learning: TrainingRun) -> None:
        """An instance bound is known only after learning."""
        if self.bound != "instance":
            self.plan(learning)
        else:
            learning.check_view(View.of(self.view))
            contractions(learning, self.regime, self._depth(learning))

    def plan(self, learning: TrainingRun) -> Plan:
        """K noisy rounds, with noise for ε or as given."""
        learning.check_view(View.of(self.view))
        claim, depth = Claim(View.of(self.view), self.delta, self.bound, regime=self.regime), self._depth(learning)
        release = Release(
            method="langevin",
            checkpoint_round=learning.rounds,
            descent_rounds=depth,
            placement="rewind",
            sigma=np.where(learning.present, 1.0 if self.sigma is None else self.sigma, 0.0),
            noise_source=self.noise_source,
            mechanism=LangevinMechanism(contractions(learning, self.regime, depth)),
        )
        if self.sigma is None:
            scale = least_scale(learning, release, claim, 1.0 if self.epsilon is None else self.epsilon)
            release = replace(release, sigma=release.sigma * scale)
        claimed = claimed_epsilon(learning, release, claim)
        if not isfinite(claimed):
            return Plan(release, claim)
        said = "Rényi divergence of Langevin unlearning, converted with its order in place, with W_∞ ≤ b/(1 − c)"
        return Plan(release, replace(claim, claimed_epsilon=claimed, claimed_by=said))

    def program(
        self, release: Release, learning: TrainingRun, seed: int, index: int, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Noise on the start, then rounds with noise between them."""
        sigma, source = tuple(release.sigma.tolist()), release.noise_source
        rounds = range(release.checkpoint_round, release.checkpoint_round + release.descent_rounds)
        first = AddNoise(sigma, seed, index, source)
        return Program(noise=(first,), finish=(LangevinRounds(learning.order, rounds, sigma, seed, index, source),))

    def _depth(self, learning: TrainingRun) -> int:
        return learning.rounds // 2 if self.rounds is None else self.rounds
