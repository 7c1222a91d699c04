"""Retraining that heals as a rewinding descent does: what a release that heals is compared with, like for like.

Where the rounds after the noise differ from those of learning (no clip, a step size of their own), a release may be
more accurate than retraining that learned as before to the end. So this learns T − K rounds on the retained data, as
retraining does, and then takes the same gossip rounds and the same K rounds of descent, without any noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.base import MethodError, UnlearningPlan, quiet_plan
from rewindnet.clients.methods.healing import Heals


@dataclass(frozen=True, kw_only=True)
class RetrainHealed(Heals):
    """Retrain, and in the last K rounds heal as a rewinding of K rounds does: what that is compared with.

    Args:
        rewind: K/T, the share of the learning rounds that heal, in [0, 1].
        settle_first: gossip-only rounds before them.
        settle_acceleration: of these gossip rounds, `chebyshev` or none.
        settle_radius: of a ball onto which clients project after them; None for none.
        descent_clip: whether whole clients clip in the K rounds, where they did in learning.
        descent_step_size: of the K rounds; by default that of learning.
        descent_momentum: of these rounds, in [0, 1): each adds so much of what the one before has changed.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "retrain-healed"
    needs_checkpoints_alone = True
    rewind: float = 0.5
    settle_first: int = 0
    view: str = "transcript:all"
    delta: float = 1e-5

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 <= self.rewind <= 1:
            raise MethodError(f"rewind is the share of rounds that heal, in [0, 1], not {self.rewind}")
        self._check_healing(self.settle_first)

    @property
    def variant(self) -> str:
        """The share of the rounds that heal."""
        return f"{100 * self.rewind:.3g} %"

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return round 0, and T rounds of descent."""
        return 0, rounds

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the round in which the method begins."""
        return (0,)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the rounds of learning and of healing, without noise."""
        T = learning.rounds
        plan, start = quiet_plan(learning, self.name, (0, T), self.view, self.delta), T - round(self.rewind * T)
        healing = replace(self._healing_on(learning, start, self.settle_first), after=start)
        return replace(plan, release=replace(plan.release, placement="rewind", healing=healing))
