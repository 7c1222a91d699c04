"""Warm start: keep the learned model and descend further on retained data.

On one machine this is descent-to-delete: Neel, Roth and Sharifi-Malvajerdi (2021), "Descent-to-delete: gradient-based
methods for machine unlearning". It pays only where local steps contract (γ < 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rewindnet.clients.methods.base import MethodError
from rewindnet.clients.methods.descent import NoisyDescent, ladder


@dataclass(frozen=True, kw_only=True)
class WarmStart(NoisyDescent):
    """Descend further on retained data from the learned model, add noise: descent-to-delete on a network.

    Compared with retraining for T + K rounds. Give any two of `epsilon`, `rounds` and `sigma`; with fewer, `rounds` is
    half the learning rounds and `epsilon` 1. The other settings are those of r2d.

    Args:
        rounds: K, rounds of descent on retained data; where it follows, at most T.

    Raises:
        MethodError: if all three are given, or a setting is out of range.
    """

    name = "warm-start"
    rounds: int | None = None

    def __post_init__(self) -> None:
        """Check the settings, and fill in what is left open of the three."""
        if None not in (self.epsilon, self.rounds, self.sigma):
            raise MethodError("warm-start takes two of epsilon, rounds and sigma, and solves for the third")
        if self.rounds is not None and self.rounds < 0:
            raise MethodError(f"rounds is a number of rounds of descent, not {self.rounds}")
        if self.epsilon is None and self.sigma is None:
            object.__setattr__(self, "epsilon", 1.0)
        super().__post_init__()

    @property
    def _depth_given(self) -> bool:
        return self.rounds is not None or self.epsilon is None or self.sigma is None

    def _depths(self, rounds: int) -> Sequence[int]:
        if not self._depth_given:
            return ladder(rounds)
        return [rounds // 2 if self.rounds is None else self.rounds]

    def horizon(self, rounds: int) -> int:
        """Return T and as many rounds more as the method may descend."""
        return rounds + max(self._depths(rounds))
