"""The rounds of a rewinding descent from the initial model: what rewinding must beat.

It never uses what learning has made, so it has ε = 0 without noise, at the cost of r2d at the same depth.
"""

from dataclasses import dataclass, replace

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.healing import Healing
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.baselines import Baseline


@dataclass(frozen=True, kw_only=True)
class Anew(Baseline):
    """Begin anew: K rounds on retained data from the initial model, without noise, at the cost of rewinding K rounds.

    Args:
        rewind: K/T, the share of the learning rounds that is run, in [0, 1].
        descent_clip: whether whole clients clip, where they did in learning.
        descent_step_size: of the descent; by default that of learning.
        descent_momentum: of these rounds, in [0, 1): each adds so much of what the one before has changed.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "anew"
    rewind: float = 0.5
    descent_clip: bool = True
    descent_step_size: float | None = None
    descent_momentum: float = 0.0
    view: str = "transcript:all"

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 <= self.rewind <= 1:
            raise MethodError(f"rewind is the share of rounds to run, in [0, 1], not {self.rewind}")
        self._healing()

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return round 0, and K rounds of descent."""
        return 0, round(self.rewind * rounds)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the descent, without noise."""
        plan = super().plan(learning)
        healing = self._healing()
        return replace(plan, release=replace(plan.release, placement="rewind", healing=healing))

    def _healing(self) -> Healing:
        """Return how the rounds differ from those of learning."""
        return Healing(0, self.descent_clip, self.descent_step_size, momentum=self.descent_momentum)
