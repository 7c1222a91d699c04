"""The two ends that everything is held against: retraining, the oracle, and doing nothing, the control."""

from collections.abc import Sequence
from dataclasses import dataclass

from rewindnet.certificates import Claim, TrainingRun, View
from rewindnet.clients.methods.base import Method, Plan, no_noise, weakest_bound


@dataclass(frozen=True, kw_only=True)
class Retrain(Method):
    """Learn again from scratch on the retained data with the same coins: the oracle, and 100 % of the cost.

    Args:
        view: for whom the certificate is written.
        delta: δ of the certificate.
    """

    view: str = "joint"
    delta: float = 1e-5

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """The start."""
        return (0,)

    def plan(self, learning: TrainingRun) -> Plan:
        """All rounds again, without noise."""
        return Plan(
            no_noise(learning, "retrain", 0, learning.rounds),
            Claim(View.of(self.view), self.delta, weakest_bound(learning)),
        )


@dataclass(frozen=True, kw_only=True)
class DoNothing(Method):
    """Hand back the learned model unchanged: the control that gets no ε wherever the deletion has reached.

    Args:
        view: for whom the certificate is written.
        delta: δ of the certificate.
    """

    view: str = "node"
    delta: float = 1e-5

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """The end."""
        return (rounds,)

    def plan(self, learning: TrainingRun) -> Plan:
        """No rounds, no noise."""
        return Plan(
            no_noise(learning, "do-nothing", learning.rounds, 0),
            Claim(View.of(self.view), self.delta, weakest_bound(learning)),
        )
