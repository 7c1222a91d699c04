"""The (ε, δ) profile of noisy steps whose centres lie in a ball, as in finetuning with model clipping.

Let δ_t be a bound on the hockey-stick divergence D_{e^ε} of two runs after t steps, in both directions, and let all
distances be in units of the noise. With D the diameter of the ball and Δ the distance of the centres of the first step,
the recursion proven in `mechanisms.noisy_finetune` is

    δ_1 = δ(ε; Δ),    δ_{t+1} = δ_t·δ(ε̃; D),    ε̃ = ln(1 + (e^ε − 1)/δ_t),

where δ(ε; μ) is the profile of the Gaussian mechanism. Where a step expands distances by at most a known factor, δ_t is
also at most the δ of the μ that `mechanisms.contraction` gives.
"""

from dataclasses import dataclass
from math import exp, expm1, inf, log, log1p

from rewindnet.certificates.accounting.gaussian import delta_of

#: Bisection steps for ε.
_HALVINGS = 60


@dataclass(frozen=True)
class BallProfile:
    """The profile of K noisy steps in a ball.

    Attributes:
        rounds: K ≥ 1.
        first_step: Δ, the distance of the centres of the first step.
        diameter: D, the diameter of the ball.
        growth: the factor by which a step may expand distances; None where none is known.
    """

    rounds: int
    first_step: float
    diameter: float
    growth: float | None

    def least_epsilon(self, upper: float, delta: float) -> float:
        """Return the least ε in [0, upper] at which the runs are (ε, δ)-indistinguishable after K steps.

        Args:
            upper: an ε that is known to hold.
            delta: δ.
        """
        if self.holds(0.0, delta):
            return 0.0
        low, high = 0.0, upper
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.holds(middle, delta) else (middle, high)
        return high

    def holds(self, epsilon: float, delta: float) -> bool:
        """Return whether δ_K ≤ δ at this ε, so that the runs are (ε, δ)-indistinguishable after K steps.

        Args:
            epsilon: ε.
            delta: δ.
        """
        profile, noise_sum = delta_of(self.first_step, epsilon), 1.0
        for _ in range(self.rounds - 1):
            if profile <= delta:
                return True
            profile *= delta_of(self.diameter, _log_tilt(epsilon, profile))
            if self.growth is not None:
                noise_sum = 1 + noise_sum / self.growth**2 if self.growth else inf
                profile = min(profile, delta_of(self.first_step / noise_sum**0.5, epsilon))
        return profile <= delta


def _log_tilt(epsilon: float, delta: float) -> float:
    """Return ln(1 + (e^ε − 1)/δ) without overflow."""
    if epsilon < 1:
        return log1p(expm1(epsilon) / delta)
    return epsilon - log(delta) + log1p((delta - 1) * exp(-epsilon))
