"""The two baselines of every comparison: retraining, the oracle, and doing nothing, the control."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.base import Method, UnlearningPlan, quiet_plan


@dataclass(frozen=True, kw_only=True)
class Baseline(Method):
    """A method that descends on retained data without noise, from the first or the last round of learning."""

    name: ClassVar[str]
    needs_checkpoints_alone: ClassVar[bool] = True
    view: str = "node"
    delta: float = 1e-5

    @abstractmethod
    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the checkpoint round and the rounds of descent."""

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the round in which the method begins."""
        return (self.requested_depth(rounds)[0],)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the descent, without noise."""
        return quiet_plan(learning, self.name, self.requested_depth(learning.rounds), self.view, self.delta)


@dataclass(frozen=True, kw_only=True)
class Retrain(Baseline):
    """Retrain from scratch on the retained data with the same random numbers: the oracle, with 100 % of the cost.

    Args:
        view: the view of the observer.
        delta: δ of the certificate.
    """

    name = "retrain"
    view: str = "joint"

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return round 0, and T rounds of descent."""
        return 0, rounds


@dataclass(frozen=True, kw_only=True)
class DoNothing(Baseline):
    """Release the learned model unchanged: the control, which has no ε if the deletion has any influence.

    Args:
        view: the view of the observer.
        delta: δ of the certificate.
    """

    name = "do-nothing"

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return round T, and no rounds of descent."""
        return rounds, 0
