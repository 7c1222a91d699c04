"""The two ends that every method is compared with: retraining, the oracle, and doing nothing, the control."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.base import Method, UnlearningPlan, quiet_plan


@dataclass(frozen=True, kw_only=True)
class Baseline(Method):
    """A method that descends on retained data from one end of learning, without noise."""

    name: ClassVar[str]
    view: str = "node"
    delta: float = 1e-5

    @abstractmethod
    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the checkpoint round and the rounds of descent."""

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the one end."""
        return (self.requested_depth(rounds)[0],)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the descent, without noise."""
        return quiet_plan(learning, self.name, self.requested_depth(learning.rounds), self.view, self.delta)


@dataclass(frozen=True, kw_only=True)
class Retrain(Baseline):
    """Learn again from scratch on the retained data with the same random numbers: the oracle, and 100 % of the cost.

    Args:
        view: for whom the certificate is written.
        delta: δ of the certificate.
    """

    name = "retrain"
    view: str = "joint"

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the start, and all rounds."""
        return 0, rounds


@dataclass(frozen=True, kw_only=True)
class DoNothing(Baseline):
    """Hand back the learned model unchanged: the control that gets no ε wherever the deletion has reached.

    Args:
        view: for whom the certificate is written.
        delta: δ of the certificate.
    """

    name = "do-nothing"

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the end, and no rounds."""
        return rounds, 0
