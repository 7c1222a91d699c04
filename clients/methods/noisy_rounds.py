"""The base class of methods that continue from the learned model with noise in every round."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from rewindnet.certificates import Claim, Mechanism, Regime, Release, TrainingRun, View, least_scale
from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.claim import Bound
from rewindnet.clients.methods.base import Method, MethodError
from rewindnet.clients.methods.settings import check_noise_settings, requested_epsilon


class NoisyRoundsMethod(Method):
    """A method that takes a number of noisy rounds on retained data, from the learned model.

    Attributes:
        name: the name of the method.
        rounds: K, the noisy rounds; None for half the learning rounds.
        epsilon: the ε to reach; 1 where σ is not given either.
        sigma: the noise of every round, where ε follows.
        delta: δ.
        bound: by which sensitivity.
        regime: the curvature to assume; None for the strongest that the model proves.
        view: the view of the observer.
        noise_source: the source of noise, `seed` or `os`.
    """

    name: ClassVar[str]
    rounds: int | None
    epsilon: float | None
    sigma: float | None
    delta: float
    bound: Bound
    regime: Regime | None
    view: str
    noise_source: NoiseSource

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the last round of learning."""
        return (rounds,)

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the end of learning, and the noisy rounds."""
        return rounds, self._noisy_rounds(rounds)

    def check(self, learning: TrainingRun) -> None:
        """Check that the settings can be met; an instance bound is known only after learning."""
        if self.bound != "instance":
            self.plan(learning)
        else:
            learning.check_view(View.of(self.view))
            self._mechanism(learning)

    @abstractmethod
    def _mechanism(self, learning: TrainingRun) -> Mechanism:
        """Return the mechanism of these noisy rounds."""

    def _check_settings(self) -> None:
        """Check the settings, and fill in ε where neither is given: what was asked for is on record then."""
        if self.rounds is not None and self.rounds < 0:
            raise MethodError(f"rounds is a number of noisy rounds, not {self.rounds}")
        check_noise_settings(self.name, self.epsilon, self.sigma, self.delta, self.view)
        object.__setattr__(self, "epsilon", requested_epsilon(self.name, self.epsilon, self.sigma))

    def _noisy_rounds(self, learning_rounds: int) -> int:
        return learning_rounds // 2 if self.rounds is None else self.rounds

    @property
    def _claim(self) -> Claim:
        return Claim(View.of(self.view), self.delta, self.bound, regime=self.regime)

    @property
    def _epsilon(self) -> float:
        """The ε to reach where σ is not given."""
        assert self.epsilon is not None
        return self.epsilon

    def _release(self, learning: TrainingRun, mechanism: Mechanism) -> Release:
        """Make the release with the given noise, or with σ = 1."""
        return Release(
            method=self.name,
            checkpoint_round=learning.rounds,
            descent_rounds=self._noisy_rounds(learning.rounds),
            placement="rewind",
            sigma=np.where(learning.present, 1.0 if self.sigma is None else self.sigma, 0.0),
            noise_source=self.noise_source,
            mechanism=mechanism,
        )

    def _least_scale(self, learning: TrainingRun, release: Release) -> float:
        """Find the smallest factor on the noise of the release that reaches ε."""
        return least_scale(learning, release, self._claim, self._epsilon)
